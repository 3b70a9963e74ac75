"""Runs one target under atheris until a fault is found or libFuzzer's options end it.

    python -m tests.fuzz.run_one TARGET [libFuzzer options and folders]

Atheris is not imported by name: it exists for Linux on x86-64 only, and only fuzzing needs it.
"""

import sys
from importlib import import_module

from tests.fuzz.target import load


def main() -> None:
    """Fuzz the target that the command line names."""
    name = sys.argv.pop(1)
    atheris = import_module("atheris")
    # Comparisons with texts lead the way. Patterns would as well, but the hook for them breaks those
    # of octets and those of the json module, as of atheris 3.0.
    atheris.enabled_hooks.add("str")
    sys.modules.pop("ipaddress", None)  # atheris has imported it already, and not instrumented
    with atheris.instrument_imports(include=["tunnelgate", "ipaddress"]):
        target = load(name)
    atheris.Setup(sys.argv, target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
