"""The command `tunnelgate-servers` and its short commands: help, migrate and role."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import inspect
from typer.testing import CliRunner

from tests.support.postgres import Databases
from tests.support.processes import SCRIPTS, environment, free_port
from tunnelgate_servers.cli import app
from tunnelgate_servers.hosting import open_writer, read_url
from tunnelgate_servers.known import SERVERS

COMMAND = str(SCRIPTS / "tunnelgate-servers")
SECRET = "s3cr3t-of-the-database"
LIMIT = 60  # seconds that a process may take


def invoke(*arguments: str) -> tuple[int, str, str]:
    """Run the command in this process, and return its exit code and what it printed."""
    done = CliRunner().invoke(app, arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def tables(url: str) -> set[str]:
    engine = open_writer(read_url(url))
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


@pytest.mark.parametrize(
    "command", [[COMMAND], [sys.executable, "-m", "tunnelgate_servers"]], ids=["installed", "as a module"]
)
def test_the_help_names_every_command(tmp_path: Path, command: list[str]) -> None:
    done = subprocess.run(
        [*command, "--help"],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    for name in ("migrate", "reindex", "role", "seed", "serve"):
        assert f"\n  {name} " in done.stdout


@pytest.mark.parametrize("command", ["migrate", "reindex", "role", "seed", "serve"])
def test_the_help_of_each_command_has_an_example(command: str) -> None:
    code, out, _ = invoke(command, "--help")

    assert code == 0
    assert f"Example: tunnelgate-servers {command} " in out


def test_a_package_that_is_missing_is_named_with_what_installs_it(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['alembic'] = None\nfrom tunnelgate_servers.__main__ import main\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "tunnelgate-servers needs alembic: pip install 'tunnelgate[servers]'\n"


@pytest.mark.parametrize("command", ["migrate", "role", "serve"])
def test_a_server_that_is_not_known_is_answered_with_those_that_are(command: str) -> None:
    options = {"migrate": ["--database", "sqlite:///x.sqlite"], "serve": ["--config", "x.yaml"]}

    code, out, error = invoke(command, "wiki", *options.get(command, []))

    assert (code, out) == (2, "")
    assert f"'wiki' is none of {', '.join(SERVERS)}" in error


@pytest.mark.parametrize("server", [each for each in SERVERS if SERVERS[each].has_database])
def test_migrate_brings_a_database_to_its_newest_form_and_can_be_run_again(
    databases: Databases, server: str
) -> None:
    url = databases.new()
    once = invoke("migrate", server, "--database", url)
    again = invoke("migrate", server, "--database", url)

    assert once == (0, f"The database of {server} has its newest form.\n", "")
    assert again == once
    assert set(SERVERS[server].tables) <= tables(url)


def test_migrate_leaves_a_server_without_a_database_alone(tmp_path: Path) -> None:
    file = tmp_path / "data.sqlite"

    assert invoke("migrate", "deploy-status", "--database", f"sqlite:///{file}") == (
        2,
        "",
        "deploy-status has no database.\n",
    )
    assert not file.exists()


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://user:{SECRET}@127.0.0.1/data",
        f"postgresql://user:{SECRET}@127.0.0.1:PORT/data",
        f"postgresql://user@127.0.0.1:PORT/data?password={SECRET}",
        f"postgresql://user:{SECRET}@127.0.0.1:no-port/data",
        f"user:{SECRET}@127.0.0.1/data",
    ],
)
@pytest.mark.parametrize("command", ["migrate", "reindex"])
def test_a_database_that_cannot_be_used_is_one_sentence_without_its_password(
    tmp_path: Path, command: str, url: str
) -> None:
    about = ["billing-audit"] if command == "migrate" else ["--folder", str(tmp_path)]

    code, out, error = invoke(command, *about, "--database", url.replace("PORT", str(free_port())))

    assert (code, out, error.count("\n")) == (2, "", 1)
    assert SECRET not in error


def test_a_database_that_fails_meanwhile_is_one_sentence(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'data.sqlite'}"
    engine = open_writer(read_url(url))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE accounts (something_else integer)")
    engine.dispose()

    code, out, error = invoke("migrate", "billing-audit", "--database", url)

    assert (code, out) == (1, "")
    assert error == "The database does not do this: table accounts already exists.\n"
    assert tables(url) == {"accounts"}


def test_role_prints_sql_that_names_the_tables_of_the_server_and_no_password() -> None:
    code, out, error = invoke("role", "billing-audit", "--name", "reader's", "--owner", "migrator")

    assert (code, error) == (0, "")
    assert "SET LOCAL tunnelgate.role = E'reader''s';\n" in out
    assert "SET LOCAL tunnelgate.owner = E'migrator';" in out
    assert f"SET LOCAL tunnelgate.tables = E'{' '.join(SERVERS['billing-audit'].tables)}';\n" in out
    assert "PASSWORD" not in out
    assert out.rstrip().endswith("COMMIT;")


def test_role_has_a_name_for_the_role_and_leaves_the_owner_to_the_database() -> None:
    _, out, _ = invoke("role", "billing-audit")

    assert "SET LOCAL tunnelgate.role = E'tunnelgate_reader';\n" in out
    assert "SET LOCAL tunnelgate.owner = E'';" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(
            ["tickets-draft"],
            "tickets-draft writes to its database; a role that only reads is not for it.",
            id="a server that writes",
        ),
        pytest.param(["deploy-status"], "deploy-status has no database.", id="a server without a database"),
        pytest.param(
            ["billing-audit", "--name", "pg_reader"],
            "PostgreSQL keeps the name pg_reader for itself.",
            id="a name of PostgreSQL",
        ),
        pytest.param(
            ["billing-audit", "--name", ""],
            "The name of a role is 1 to 63 octets long and has no control characters.",
            id="no name",
        ),
    ],
)
def test_a_role_that_cannot_be_is_one_sentence(arguments: list[str], sentence: str) -> None:
    assert invoke("role", *arguments) == (2, "", f"{sentence}\n")
