"""Writes deploy/kubernetes/tunnelgate.yaml: what the chart makes of the values that its README shows.

.venv/bin/python -m tests.helm.plain
"""

import re
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.helm.tools import CHART, ROOT, template

FILE = ROOT / "deploy" / "kubernetes" / "tunnelgate.yaml"
_VALUES = re.compile(r"^```yaml\n(# values\.yaml\n.*?)^```$", re.MULTILINE | re.DOTALL)
# Lines that are about Helm, which is not what these manifests are applied with.
_OF_HELM = re.compile(
    r"^(# Source: .*| *(app\.kubernetes\.io/managed-by|helm\.sh/chart): .*)\n", re.MULTILINE
)
_HEAD = """\
# The gate and its connector without Helm: what the chart in deploy/helm makes of the values that its README
# shows. Put in your own image, domain, issuer and routes, make the three Secrets, and apply it:
#
#   kubectl apply --namespace mcp --filename tunnelgate.yaml
"""


def shown_values() -> str:
    """Return the file of values that the chart's README shows."""
    found = _VALUES.search((CHART / "README.md").read_text("utf-8"))
    if found is None:
        raise ValueError("the README shows no values.yaml")
    return found[1]


def plain() -> str:
    """Return what the file has to be."""
    with TemporaryDirectory() as folder:
        values = Path(folder, "values.yaml")
        values.write_text(shown_values(), "utf-8")
        made = template(values)
    return _HEAD + _OF_HELM.sub("", made).replace("\n\n---\n", "\n---\n")


if __name__ == "__main__":
    FILE.write_text(plain(), "utf-8")
