"""A private PostgreSQL, which runs for one session of tests, and databases in it and out of it."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from secrets import token_hex
from tempfile import mkdtemp
from typing import Any, Protocol

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL, make_url

from tests.support.processes import free_port
from tunnelgate_servers.known import SERVERS
from tunnelgate_servers.postgres_roles import role_sql

MISSING = "There is no PostgreSQL 15 or newer on this machine: apt-get install postgresql"

HOST = "127.0.0.1"

_LIMIT = 60  # seconds that anything may take
_ATTEMPTS = 3  # for a port that somebody else took meanwhile
_OLDEST = 15
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "jit": "off",
    "lc_messages": "C",
    "timezone": "America/New_York",  # which is not UTC, so that times are seen to be
}


class Databases(Protocol):
    """Where tests have their databases: files, or a server."""

    def new(self) -> str:
        """Return the URL of a database that is empty, as its owner."""
        ...

    def reader(self, url: str, server: str) -> str:
        """Return the URL of the same database for reading, by a role of its own where there are roles.

        `server` is its name on the command line, such as ``docs-readonly``.
        """
        ...


class SqliteFiles:
    """Databases that are files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count(1)

    def new(self) -> str:
        return f"sqlite:///{self._folder / f'database-{next(self._numbers)}.sqlite'}"

    def reader(self, url: str, server: str) -> str:
        return url


def connect(url: str | URL) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect with nothing of ours in between."""
    parts = make_url(url)
    return psycopg.connect(
        host=parts.host,
        port=parts.port,
        user=parts.username,
        password=str(parts.password),
        dbname=parts.database,
    )


@dataclass
class Postgres:
    """A server that runs."""

    port: int
    password: str
    process: "subprocess.Popen[str]"
    log: Path
    _numbers: Iterator[int] = field(default_factory=count)

    def execute(self, query: str | sql.Composed, database: str = "postgres") -> None:
        """Run SQL as the superuser."""
        with self.connect(database) as connection:
            connection.execute(query.encode() if isinstance(query, str) else query)

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """Connect as the superuser; each statement is a transaction of its own."""
        connection = connect(URL.create("postgresql", "postgres", self.password, HOST, self.port, database))
        connection.autocommit = True
        return connection

    def name(self) -> str:
        """Return a name that no database and no role here has yet."""
        return f"tests_{next(self._numbers)}"


class PostgresDatabases:
    """Databases of a server, each with a role that owns it and nothing else."""

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self._databases: list[str] = []
        self._roles: list[str] = []

    def new(self) -> str:
        name = self.server.name()
        password = self.add_role(name)
        self.server.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(sql.Identifier(name)))
        self._databases.append(name)
        return self._url(name, password, name)

    def reader(self, url: str, server: str) -> str:
        return self.role(url, server, self.server.name())

    def role(self, url: str, server: str, name: str) -> str:
        """Make the role that ``tunnelgate-servers role`` describes, and return its URL."""
        database = make_url(url).database or ""
        self.server.execute(role_sql(SERVERS[server], name=name), database)
        return self._url(name, self.add_role(name), database)

    def add_role(self, name: str) -> str:
        """Let a role log in, which is made where it is not there yet, and return its password."""
        password = token_hex(16)
        names = "SELECT 1 FROM pg_roles WHERE rolname = %s"
        with self.server.connect() as connection:
            known = connection.execute(names, [name]).fetchone() is not None
            verb = sql.SQL("ALTER ROLE {} PASSWORD {}" if known else "CREATE ROLE {} LOGIN PASSWORD {}")
            connection.execute(verb.format(sql.Identifier(name), sql.Literal(password)))
        self._roles.append(name)
        return password

    def drop(self) -> None:
        """Remove what was made, with whatever still is connected."""
        for database in self._databases:
            self.server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))
        for role in self._roles:
            self.server.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))

    def _url(self, user: str, password: str, database: str) -> str:
        url = URL.create("postgresql", user, password, HOST, self.server.port, database)
        return url.render_as_string(hide_password=False)


@contextmanager
def run_postgres(places: Iterable[Path] | None = None, **settings: str) -> Generator[Postgres]:
    """Run a server in a temporary folder until the block ends.

    Its programs are looked for in ``places``, by default where Debian and others put them. Raises
    `RuntimeError` where there are none, and with the server's log where it does not start.
    """
    programs = _find_programs(_places() if places is None else places)
    user = _user()
    # Below the tests' own folder, another user could not reach it.
    folder = Path(mkdtemp(prefix="tunnelgate-postgres-"))
    try:
        os.chown(folder, user.pw_uid, user.pw_gid)
        password = token_hex(16)
        _initialise(programs, folder, user, password)
        for attempt in range(_ATTEMPTS):
            server = _start(programs, folder, user, password, settings)
            try:
                if _is_ready(server):
                    yield server
                    return
                log = server.log.read_text("utf-8", errors="replace")
                if "Address already in use" not in log or attempt + 1 == _ATTEMPTS:
                    raise RuntimeError(f"PostgreSQL does not start:\n{log}")
            finally:
                _stop(server)
    finally:
        shutil.rmtree(folder)


def _find_programs(places: Iterable[Path]) -> Path:
    """Return the folder of the newest server's programs."""
    found: dict[int, Path] = {}
    for folder in places:
        if (folder / "postgres").is_file():
            said = subprocess.run(
                [folder / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=_LIMIT
            ).stdout
            found[int(said.split()[2].partition(".")[0])] = folder
    if max(found, default=0) < _OLDEST:
        raise RuntimeError(MISSING)
    return found[max(found)]


def _places() -> Iterator[Path]:
    yield from Path("/usr/lib/postgresql").glob("*/bin")
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield Path(on_path).resolve().parent


def _user() -> pwd.struct_passwd:
    """Return who runs the server, which refuses to run as root."""
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid())
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _as_user(user: pwd.struct_passwd) -> dict[str, Any]:
    if os.getuid() != 0:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _initialise(programs: Path, folder: Path, user: pwd.struct_passwd, password: str) -> None:
    file = folder / "password"
    file.write_text(password, "utf-8")
    os.chown(file, user.pw_uid, user.pw_gid)
    file.chmod(0o600)
    command = [
        str(programs / "initdb"),
        f"--pgdata={folder / 'data'}",
        "--username=postgres",
        f"--pwfile={file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        # Words are compared as people do, which is not how Python and SQLite compare them.
        "--locale=C.UTF-8",
        "--locale-provider=icu",
        "--icu-locale=en-US",
        "--no-sync",
    ]
    done = subprocess.run(
        command,
        cwd=folder,
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
        **_as_user(user),
    )
    if done.returncode != 0:
        raise RuntimeError(f"initdb failed:\n{done.stdout}{done.stderr}")


def _start(
    programs: Path, folder: Path, user: pwd.struct_passwd, password: str, settings: Mapping[str, str]
) -> Postgres:
    port = free_port()
    log = folder / "log"
    command = [
        # Whatever ends the tests ends the server with them.
        *(["setpriv", "--pdeathsig", "INT"] if sys.platform == "linux" else []),
        str(programs / "postgres"),
        "-D",
        str(folder / "data"),
        *(
            part
            for name, value in ({**_SETTINGS, **settings, "port": str(port)}).items()
            for part in ("-c", f"{name}={value}")
        ),
    ]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={"PATH": os.environ["PATH"]},
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            # Keyboard interrupts are for the tests, which stop the server in their turn.
            start_new_session=True,
            **_as_user(user),
        )
    return Postgres(port, password, process, log)


def _is_ready(server: Postgres) -> bool:
    """Return whether the server takes connections; not so when it has ended or takes too long."""
    status = server.log.with_name("data") / "postmaster.pid"
    until = time.monotonic() + _LIMIT
    while server.process.poll() is None and time.monotonic() < until:
        # The server writes there how far it has come.
        if status.is_file() and status.read_text("utf-8").rstrip().endswith("ready"):
            return True
        time.sleep(0.02)
    return False


def _stop(server: Postgres) -> None:
    """Stop the server by its own process, and make sure that it is gone."""
    process = server.process
    if process.poll() is None:
        process.send_signal(signal.SIGINT)  # which ends its connections and not only waits for them
    try:
        process.wait(_LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_LIMIT)
        log = server.log.read_text("utf-8", errors="replace")
        raise RuntimeError(f"PostgreSQL did not stop:\n{log}") from None
    # It removes the file last, when all of its processes have ended.
    if (server.log.with_name("data") / "postmaster.pid").exists():
        raise RuntimeError(f"PostgreSQL ended with {process.returncode}, perhaps not all of it")
