"""Following: a gate takes up its configuration whenever a file of it changes, or when it is told to."""

import asyncio
import logging
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from tunnelgate import ConfigurationError, ConfigurationFault
from tunnelgate_app.gateway import Gateway
from tunnelgate_app.listening.contexts import ListenerTls
from tunnelgate_app.logs import set_level
from tunnelgate_app.reloading.aside import LeftBehindError
from tunnelgate_app.reloading.listener import Listener, OwnListener
from tunnelgate_app.reloading.reading import Reading, read_configuration
from tunnelgate_app.reloading.settling import Settling
from tunnelgate_app.reloading.stamps import Stamps, stamps_of

logger = logging.getLogger("tunnelgate")

LOOK_SECONDS = 0.2  # between two looks at the files
_DAY = 24 * 60 * 60


class Following:
    """Runs beside ``gateway`` and brings it what is in the files of ``reading``, which it began with.

    ``apply_level`` is called with the ``log_level`` of each new policy. ``is_told_by_hangup`` says
    that SIGHUP belongs to this process's gate. ``clock`` returns seconds since 1970.
    """

    def __init__(
        self,
        gateway: Gateway,
        reading: Reading,
        listener: Listener,
        *,
        apply_level: Callable[[str], None] | None = None,
        is_told_by_hangup: bool = False,
        environment: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._gateway = gateway
        self._path = reading.path
        self._listener = listener
        self._apply_level = apply_level
        self._is_told_by_hangup = is_told_by_hangup
        self._environment = environment
        self._clock = clock
        self._settling = Settling(reading.stamps)
        self._told = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False
        self._refusal = ""
        self._warned_at = 0.0
        if is_told_by_hangup:
            # Until there is somebody to hear it, it would end the process.
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def start(self) -> None:
        """Begin to look."""
        if self._is_told_by_hangup:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self.tell)
        self._task = asyncio.create_task(self._follow())
        self._task.add_done_callback(self._say_over)

    async def stop(self) -> None:
        """Look no more."""
        self._is_stopping = True
        if self._is_told_by_hangup:
            asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def tell(self) -> None:
        """Read the configuration again, whether a file has changed or not."""
        self._told.set()

    async def _follow(self) -> None:
        self._warn()
        while True:
            is_told = await self._is_told_within(LOOK_SECONDS)
            try:
                stamps = await self._gateway.aside(stamps_of, self._settling.known)
                if is_told or self._settling.look(stamps):
                    await self._read_within(stamps, is_told=is_told)
                if self._clock() - self._warned_at >= _DAY:
                    self._warn()
            except Exception:
                logger.exception("the configuration could not be reloaded; the one before it still holds")

    async def _is_told_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._told.wait()
        is_told = self._told.is_set()
        self._told.clear()
        return is_told

    async def _read_within(self, stamps: Stamps, *, is_told: bool) -> None:
        try:
            await self._read_again(is_told=is_told)
        except LeftBehindError as error:
            self._settling.take_up(stamps)  # or each look would leave another thread behind
            self._refuse(_one_fault(self._path, str(error)), is_told=is_told)

    def _say_over(self, task: asyncio.Task[None]) -> None:
        if not self._is_stopping:
            error = None if task.cancelled() else task.exception()
            logger.critical("the configuration is not followed any more; restart the gate", exc_info=error)

    async def _read_again(self, *, is_told: bool) -> None:
        besides = self._gateway.contents
        reading = await self._gateway.aside(
            read_configuration, self._path, self._environment, besides=besides
        )
        self._settling.take_up(reading.stamps)
        try:
            changes = await self._gateway.change_to(reading.policy, self._listener.open)
        except ConfigurationError as error:
            self._refuse(error, is_told=is_told)
            return
        was_refused, self._refusal = self._refusal != "", ""
        if changes is None:
            level = logging.INFO if is_told or was_refused else logging.DEBUG
            logger.log(level, "configuration read again: nothing has changed")
            return
        if self._apply_level is not None:
            self._apply_level(self._gateway.policy.log_level)
        self._warn()

    def _refuse(self, error: ConfigurationError, *, is_told: bool) -> None:
        if str(error) == self._refusal:
            level = logging.ERROR if is_told else logging.DEBUG
            logger.log(level, "configuration not reloaded: it still has the faults that were told")
            return
        self._refusal = str(error)
        logger.error("configuration not reloaded, the one before it still holds: %s", error.source)
        for fault in error.faults:
            logger.error("%s", fault)

    def _warn(self) -> None:
        now = self._clock()
        self._warned_at = now
        for warning in self._listener.warnings(datetime.fromtimestamp(now, UTC)):
            logger.warning("%s", warning)


def _one_fault(path: Path, sentence: str) -> ConfigurationError:
    return ConfigurationError(str(path), [ConfigurationFault(str(path), "", sentence)])


def follow(gateway: Gateway, reading: Reading, tls: ListenerTls | None) -> None:
    """Let ``gateway`` follow the configuration that it began with, as the only gate of this process."""
    listener = OwnListener(gateway, tls)
    gateway.accompany(Following(gateway, reading, listener, apply_level=set_level, is_told_by_hangup=True))
