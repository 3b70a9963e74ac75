"""The `tunnelgate` command, which says so when what it needs is not installed; `python -m tunnelgate_app`."""

import sys

# How the proxy is started whose place the gate takes; it has no commands.
_OF_THE_PROXY = ("-config", "-tunnel-domain")


def main() -> None:
    """Run the command line."""
    try:
        from tunnelgate_app.cli import app  # noqa: PLC0415 - what it imports may be missing
    except ModuleNotFoundError as error:
        sys.exit(f"tunnelgate needs {error.name}: pip install 'tunnelgate[gateway]'")
    arguments = sys.argv[1:]
    if _is_of_the_proxy(arguments[:1]):
        arguments = ["serve", *(f"-{each}" if _is_of_the_proxy([each]) else each for each in arguments)]
    app(arguments)


def _is_of_the_proxy(arguments: list[str]) -> bool:
    return any(each.partition("=")[0] in _OF_THE_PROXY for each in arguments)


if __name__ == "__main__":
    main()
