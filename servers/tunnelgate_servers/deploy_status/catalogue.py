"""All releases that could be read, kept until the files are other ones."""

import errno
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Final, Self

from tunnelgate_servers.deploy_status.records import RecordError, Release, read_release
from tunnelgate_servers.deploy_status.sources import LeftOut, Listing, Read, RecordFile, RecordSource
from tunnelgate_servers.hosting import RequestError, UnavailableError

MAX_TOTAL_BYTES: Final = 128 * 1024 * 1024
"""How many bytes all records may have."""

Progress = Callable[[int, int], None]
"""Is told how many records of how many have been read."""

_STEP = 100
_MAX_LOGGED = 20
_logger = logging.getLogger("tunnelgate_servers.deploy_status")


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The releases at one moment.

    `histories` has those of a service in an environment, newest first; a key is `(service, environment)`.
    `left_out` are the files that could not be read, and `revision` is the commit of a repository.
    """

    histories: Mapping[tuple[str, str], Sequence[Release]]
    left_out: tuple[LeftOut, ...] = ()
    revision: str | None = None

    @classmethod
    def of(cls, releases: Sequence[Release], left_out: tuple[LeftOut, ...], revision: str | None) -> Self:
        """Put releases in order."""
        histories: dict[tuple[str, str], list[Release]] = defaultdict(list)
        for release in sorted(releases, key=_newest_last, reverse=True):
            histories[release.record.service, release.record.environment].append(release)
        return cls(histories=dict(sorted(histories.items())), left_out=left_out, revision=revision)

    @property
    def environments(self) -> tuple[str, ...]:
        """The names of all environments, sorted."""
        return tuple(sorted({environment for _, environment in self.histories}))

    def history(self, service: str, environment: str) -> Sequence[Release]:
        """Return the releases of a service in an environment, newest first; raises `RequestError`."""
        try:
            return self.histories[service, environment]
        except KeyError:
            raise RequestError(
                "There is no such service in that environment; list_services names those there are."
            ) from None


def _newest_last(release: Release) -> tuple[datetime, str]:
    return release.record.released_at, release.path


def current_of(history: Sequence[Release]) -> Release | None:
    """Return the newest release of a history that did not fail."""
    return next((each for each in history if each.record.outcome == "deployed"), None)


@dataclass(frozen=True, slots=True)
class _Known:
    """What a file held when it had this stamp; `is_read` says whether it could be read."""

    file: RecordFile
    size: int
    found: Release | LeftOut
    is_read: bool = True


class Records:
    """The releases of one source. A file is read again only when its stamp is another one.

    Whoever comes while the source is looked at waits, and shares the next look with all who wait.
    """

    def __init__(self, source: RecordSource) -> None:
        self._source = source
        self._lock = Lock()
        self._looks = 0  # begun so far
        self._last_look = 0  # of those that succeeded
        self._known: dict[str, _Known] = {}
        self._listing: Listing | None = None
        self._last = Catalogue({})

    def current(self, progress: Progress | None = None) -> Catalogue:
        """Return the releases as they are now; raises `UnavailableError`."""
        looks = self._looks
        with self._lock:
            if self._last_look > looks:
                return self._last
            self._looks += 1
            listing = self._source.listing()
            if self._listing != listing:
                self._last = self._read(listing, progress)
                # What could not be read this time may be readable the next time, whatever its stamp is.
                self._listing = listing if all(each.is_read for each in self._known.values()) else None
            self._last_look = self._looks
            return self._last

    def _read(self, listing: Listing, progress: Progress | None) -> Catalogue:
        before, self._known = self._known, {}
        total = len(listing.files)
        size = 0
        with self._source.opened() as read:
            for number, file in enumerate(listing.files, start=1):
                known = _reused(before.get(file.path), file) or _read_file(file, read)
                self._known[file.path] = known
                size += known.size
                if size > MAX_TOTAL_BYTES:
                    raise UnavailableError("The release records are larger than this server reads.")
                if progress is not None and number % _STEP == 0:
                    progress(number, total)
        found = [each.found for each in self._known.values()]
        left_out = (*listing.left_out, *(each for each in found if isinstance(each, LeftOut)))
        _log(set(left_out) - set(self._last.left_out))
        return Catalogue.of([each for each in found if isinstance(each, Release)], left_out, listing.revision)


def _reused(known: _Known | None, file: RecordFile) -> _Known | None:
    return known if known is not None and known.file == file and known.is_read else None


def _read_file(file: RecordFile, read: Read) -> _Known:
    content = b""
    try:
        content = read(file)
        found: Release | LeftOut = read_release(file.path, content)
    except RecordError as error:
        found = LeftOut(file.path, str(error))
    except OSError as error:
        if error.errno == errno.EFBIG:  # which it stays until its stamp is another one
            return _Known(file, 0, LeftOut(file.path, f"it cannot be read: {error.strerror}"))
        return _Known(file, 0, LeftOut(file.path, f"it cannot be read: {error.strerror}"), is_read=False)
    return _Known(file, len(content), found)


def _log(left_out: set[LeftOut]) -> None:
    ordered = sorted(left_out, key=lambda each: each.path)
    for each in ordered[:_MAX_LOGGED]:
        _logger.warning("The release record %s is left out: %s", each.path, each.reason)
    if len(ordered) > _MAX_LOGGED:
        _logger.warning("%d more release records are left out", len(ordered) - _MAX_LOGGED)
