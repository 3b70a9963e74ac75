"""The `tunnelgate` command, which says so when what it needs is not installed; `python -m tunnelgate_app`."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from tunnelgate_app.cli import app  # noqa: PLC0415 - what it imports may be missing
    except ModuleNotFoundError as error:
        sys.exit(f"tunnelgate needs {error.name}: pip install 'tunnelgate[gateway]'")
    app()


if __name__ == "__main__":
    main()
