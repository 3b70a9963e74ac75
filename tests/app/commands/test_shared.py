"""What every command prints and says in the same way."""

from datetime import UTC, datetime

import pytest

from tunnelgate_app.commands.shared import print_json


def test_json_is_in_ascii_and_its_times_in_utc(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"name": "a\x1b[2J\x7f\x9b\u202eb", "at": datetime(2026, 11, 23, tzinfo=UTC)})

    assert capsys.readouterr().out == (
        '{\n  "name": "a\\u001b[2J\\u007f\\u009b\\u202eb",\n  "at": "2026-11-23T00:00:00Z"\n}\n'
    )
