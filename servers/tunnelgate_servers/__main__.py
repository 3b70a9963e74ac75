"""The `tunnelgate-servers` command, which says so when what it needs is not installed."""

import sys


def main() -> None:
    """Run the command line."""
    try:
        from tunnelgate_servers.cli import app  # noqa: PLC0415 - what it imports may be missing
    except ModuleNotFoundError as error:
        sys.exit(f"tunnelgate-servers needs {error.name}: pip install 'tunnelgate[servers]'")
    app()


if __name__ == "__main__":
    main()
