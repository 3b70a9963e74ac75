"""Installs Helm, and runs the tests of the chart.

    scripts/helm                       every test of this folder
    scripts/helm -k networks           what is given goes to pytest

The first run builds Helm, which takes some minutes.
Exit: that of pytest; 2 when something could not be installed.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.helm.tools import install
from tests.support.npm import UnusableError

HERE = Path(__file__).parent


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says."""
    try:
        install()
    except UnusableError as fault:
        sys.stderr.write(f"{fault}\n")
        return 2
    return pytest.main([str(HERE), *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
