"""Opens a Unix socket to listen on, as for a connector on the same machine.

Who may connect is a matter of the file's permissions, and of its folder's.

Specification: unix(7).
"""

import errno
import logging
import os
import socket
import stat
from pathlib import Path

logger = logging.getLogger("tunnelgate")

BACKLOG = 2048


class UnixSocketError(Exception):
    """The path cannot be listened on; the text is the end of a sentence that begins with it."""


class UnixListener(socket.socket):
    """A Unix socket that removes its file when it is closed.

    What somebody else has put in the file's place by then stays there.
    """

    _file: tuple[str, int, int] | None = None

    def listen_at(self, path: str, mode: int) -> None:
        """Make the file with the permissions ``mode``, and listen; raises :class:`OSError`."""
        # Of the whole process, and for a moment; permissions that come later are wider until then.
        umask = os.umask(0o777 & ~mode)
        try:
            self.bind(path)
        finally:
            os.umask(umask)
        made = os.lstat(path)
        self._file = path, made.st_dev, made.st_ino
        self.listen(BACKLOG)

    def close(self) -> None:
        """Remove the file, and take no more connections."""
        file, self._file = self._file, None
        if file is not None:
            _remove(*file)
        super().close()


def _remove(path: str, device: int, inode: int) -> None:
    try:
        there = os.lstat(path)
        if (there.st_dev, there.st_ino) == (device, inode):
            Path(path).unlink()
    except FileNotFoundError:
        return
    except OSError as error:  # what is being closed is closed all the same
        logger.warning("unix:%s cannot be removed: %s", path, error.strerror)


def open_unix_listener(path: str, mode: int) -> UnixListener:
    """Return a socket that listens at ``path``, an absolute one, on a file with the permissions ``mode``.

    A socket that nobody listens on any more is replaced. Raises :class:`UnixSocketError`.
    """
    if not path.startswith("/") or "\0" in path:
        raise UnixSocketError("is not an absolute path")
    try:
        _remove_stale(path)
        return _listening(path, mode)
    except OSError as error:
        if error.errno is None:  # what Python says of a path that does not fit into an address
            raise UnixSocketError("is too long for the path of a Unix socket") from None
        if error.errno == errno.EADDRINUSE:
            raise UnixSocketError("is in use: stop what listens there, or choose another path") from None
        raise UnixSocketError(f"cannot be listened on: {error.strerror}") from None


def _listening(path: str, mode: int) -> UnixListener:
    listener = UnixListener(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.listen_at(path, mode)
    except OSError:
        listener.close()
        raise
    return listener


def _remove_stale(path: str) -> None:
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(there.st_mode):
        raise UnixSocketError("is a file that is no socket: remove it, or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as visitor:
        visitor.settimeout(0)  # a full backlog is an answer as well
        try:
            visitor.connect(path)
        except ConnectionRefusedError:
            logger.info("unix:%s was left behind and is replaced", path)
            Path(path).unlink()
        except BlockingIOError:
            raise OSError(errno.EADDRINUSE, "") from None
        else:
            raise OSError(errno.EADDRINUSE, "")
