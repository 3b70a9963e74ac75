"""Settling: when files that are looked at again and again have changed, and are whole."""

from tunnelgate_app.reloading.stamps import Stamps

_MISSING_LOOKS = 10  # for which a file may be away, as while another one takes its place
_RESTLESS_LOOKS = 25  # after which files that change all the time are read nevertheless


class Settling:
    """Compares what was seen of files with what was taken up of them last, ``known``.

    A change counts when two looks in a row are equal: who writes a file has then made a pause.
    """

    def __init__(self, known: Stamps) -> None:
        self.known = known
        self._seen = known
        self._restless = 0
        self._missing = 0

    def take_up(self, known: Stamps) -> None:
        """Compare with ``known`` from now on."""
        self.known = self._seen = known
        self._restless = self._missing = 0

    def look(self, stamps: Stamps) -> bool:
        """Return whether the files have changed and are to be read, by what is seen of them now."""
        is_still = stamps == self._seen
        self._seen = stamps
        if stamps == self.known:
            self._restless = self._missing = 0
            return False
        self._restless += 1
        is_missing = any(stamp is None and self.known.get(path) is not None for path, stamp in stamps.items())
        self._missing = self._missing + 1 if is_missing else 0
        if is_missing and self._missing <= _MISSING_LOOKS:
            return False
        return is_still or self._restless > _RESTLESS_LOOKS
