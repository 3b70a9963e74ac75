"""Health: whether an upstream answers, and a pause for one that does not.

::

    answering   every request goes on; after ``max_failures`` in a row it is
    failing     for ``retry_after`` no request goes on, then one does:
                if that is answered the upstream is answering, otherwise it is failing again

What an upstream answers, and be it an error, is its own affair: it answers.
"""

import logging
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from tunnelgate.errors import UpstreamFailed
from tunnelgate.verdict import Reason

logger = logging.getLogger("tunnelgate")

# What says nothing of whether the upstream answers.
_NOT_ITS_FAULT = frozenset({Reason.CALL_CANCELLED, Reason.UPSTREAM_FAILING, Reason.UPSTREAM_NOT_ALLOWED})
_WHILE_TRYING = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class HealthReport:
    """What is known of an upstream: how it is, failures in a row, and what the last one was."""

    state: Literal["unknown", "answering", "failing"]
    failures: int
    last_failure: str


class Health:
    """The health of the upstream that is called ``name`` in the log.

    ``retry_after`` is seconds, ``clock`` returns seconds that only grow.
    """

    def __init__(
        self,
        name: str,
        *,
        max_failures: int = 5,
        retry_after: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._max_failures = max_failures
        self._retry_after = retry_after
        self._clock = clock
        self._failures = 0
        self._last_failure = ""
        self._has_answered = False
        self._retry_at: float | None = None
        self._trial: Attempt | None = None

    @property
    def report(self) -> HealthReport:
        """How the upstream is."""
        if self._retry_at is not None:
            return HealthReport("failing", self._failures, self._last_failure)
        return HealthReport(
            "answering" if self._has_answered else "unknown", self._failures, self._last_failure
        )

    @contextmanager
    def attempt(self) -> Generator["Attempt"]:
        """Let one request try, unless the upstream is failing.

        Whatever :class:`~tunnelgate.errors.UpstreamFailed` comes out of the block before
        :meth:`Attempt.answered` was called counts as a failure, and raised is one at once where the
        upstream is not to be asked.
        """
        left = 0.0 if self._retry_at is None else self._retry_at - self._clock()
        if self._retry_at is not None and (self._trial is not None or left > 0):
            # While one is trying, nobody knows how long that takes.
            seconds = max(left, _WHILE_TRYING)
            raise UpstreamFailed(Reason.UPSTREAM_FAILING, self._last_failure, retry_after=seconds)
        attempt = Attempt(self)
        if self._retry_at is not None:
            self._trial = attempt
        try:
            yield attempt
        except UpstreamFailed as failure:
            if not attempt.is_answered and failure.reason not in _NOT_ITS_FAULT:
                self._fail(failure, attempt)
            raise
        finally:
            if self._trial is attempt:
                self._trial = None

    def succeed(self) -> None:
        """Take note that the upstream answers."""
        if self._retry_at is not None:
            logger.warning("upstream %s answers again", self._name)
        self._failures = 0
        self._retry_at = None
        self._trial = None  # it may last, and is in nobody's way any more
        self._has_answered = True

    def _fail(self, failure: UpstreamFailed, attempt: "Attempt") -> None:
        if self._retry_at is not None and attempt is not self._trial:
            return  # begun before the pause, which is no longer for it
        self._failures += 1
        self._last_failure = str(failure)
        if self._failures >= self._max_failures:
            if self._retry_at is None:
                logger.warning(
                    "upstream %s is failing (%s); after %g s one request tries again",
                    self._name,
                    failure,
                    self._retry_after,
                )
            self._retry_at = self._clock() + self._retry_after


class Attempt:
    """One request to an upstream, which is answered or is not."""

    def __init__(self, health: Health) -> None:
        self._health = health
        self.is_answered = False

    def answered(self) -> None:
        """Take note that the head of an answer came."""
        self.is_answered = True
        self._health.succeed()
