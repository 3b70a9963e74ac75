"""The server that the other tests run on: private, and gone when they are done."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests.support.postgres import HOST, MISSING, Postgres, PostgresDatabases, connect, run_postgres
from tests.support.processes import environment

LIMIT = 30  # seconds that a process may take to end
UNTIL_KILLED = """
import sys
from tests.support.postgres import run_postgres
with run_postgres() as server:
    print(server.port, server.log.parent, flush=True)
    sys.stdin.read()
"""


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((HOST, port)) == 0


def test_it_ends_with_the_block_and_leaves_no_file() -> None:
    with run_postgres() as server:
        owner = server.log.parent.stat().st_uid
        with server.connect() as connection:
            answer = connection.execute("SELECT 1").fetchone()
        while_running = listens(server.port)

    assert (answer, while_running, listens(server.port)) == ((1,), True, False)
    assert server.process.returncode == 0
    assert not server.log.parent.exists()
    assert owner != 0


def test_a_connection_that_is_still_open_does_not_keep_it() -> None:
    with run_postgres() as server:
        connection = server.connect()

    assert server.process.returncode == 0
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")


@pytest.mark.skipif(sys.platform != "linux", reason="nowhere else does a process hear of its parent's end")
def test_it_ends_with_the_tests_however_they_end(tmp_path: Path) -> None:
    command = [sys.executable, "-c", UNTIL_KILLED]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command,
        env=environment(tmp_path, PYTHONPATH=str(root), TMPDIR="/tmp"),
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        port, folder = process.stdout.readline().split()
        left = Path(folder)
        while_running = listens(int(port))
        process.send_signal(signal.SIGKILL)
    try:
        until = time.monotonic() + LIMIT
        while (left / "data" / "postmaster.pid").exists() and time.monotonic() < until:
            time.sleep(0.05)

        assert (while_running, listens(int(port))) == (True, False)
    finally:
        subprocess.run(["rm", "-r", left], check=True, timeout=LIMIT)


def test_a_machine_without_it_is_told_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as raised, run_postgres([tmp_path]):
        raise AssertionError("it runs")

    assert str(raised.value) == MISSING
    assert "apt-get install postgresql" in MISSING


def test_an_old_one_is_none(tmp_path: Path) -> None:
    program = tmp_path / "postgres"
    program.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 14.9 (Debian 14.9-1)'\n", "utf-8")
    program.chmod(0o755)

    with pytest.raises(RuntimeError, match="PostgreSQL 15 or newer"), run_postgres([tmp_path]):
        raise AssertionError("it runs")


def test_what_keeps_it_from_starting_is_in_the_failure() -> None:
    with pytest.raises(RuntimeError) as raised, run_postgres(shared_buffers="nonsense"):
        raise AssertionError("it runs")

    assert 'invalid value for parameter "shared_buffers": "nonsense"' in str(raised.value)


def test_whoever_has_no_password_does_not_get_in(postgres: Postgres, databases: PostgresDatabases) -> None:
    url = make_url(databases.new())

    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(url.set(password="wrong"))


def test_databases_are_empty_and_owned_by_a_role_that_is_nothing_else(databases: PostgresDatabases) -> None:
    urls = [databases.new(), databases.new()]

    found: list[object] = []
    for url in urls:
        with connect(url) as connection:
            tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            role = "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user"
            found.append((tables.fetchone(), connection.execute(role).fetchone()))

    assert len(set(urls)) == 2
    assert found == [((0,), (False, False, False))] * 2


def test_databases_and_roles_go_with_the_test_that_made_them(postgres: Postgres) -> None:
    count = "SELECT (SELECT count(*) FROM pg_database), (SELECT count(*) FROM pg_roles)"
    with postgres.connect() as connection:
        before = connection.execute(count).fetchone()
        databases = PostgresDatabases(postgres)
        still_open = connect(databases.reader(databases.new(), "billing-audit"))
        meanwhile = connection.execute(count).fetchone()
        databases.drop()
        after = connection.execute(count).fetchone()
    still_open.close()

    assert before is not None
    assert (meanwhile, after) == ((before[0] + 1, before[1] + 2), before)
