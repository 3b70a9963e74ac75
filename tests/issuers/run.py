"""Installs oidc-provider, an independent client and the Inspector, and runs the tests against them.

    scripts/issuers                       every test of this folder
    scripts/issuers -k rotation           what is given goes to pytest

The programs are installed with npm below .state/, from lock files, hashes checked.
Exit: that of pytest; 2 when something could not be installed.
"""

import sys
from collections.abc import Sequence

import pytest

from tests.clients.clients import HERE as CLIENTS
from tests.clients.clients import STATE as CLIENTS_STATE
from tests.issuers.provider import HERE, STATE
from tests.support import npm


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says."""
    try:
        npm.install(HERE, STATE)
        npm.install(CLIENTS, CLIENTS_STATE)
    except npm.UnusableError as fault:
        sys.stderr.write(f"{fault}\n")
        return 2
    return pytest.main([str(HERE), *arguments])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
