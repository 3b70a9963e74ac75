from pathlib import Path

import pytest

from tests.helm.manifests import Manifests
from tests.helm.tools import EXAMPLES, render


@pytest.fixture(params=EXAMPLES, ids=[each.name.removesuffix("-values.yaml") for each in EXAMPLES])
def example(request: pytest.FixtureRequest) -> Path:
    """One of the chart's files of values."""
    assert isinstance(request.param, Path)
    return request.param


@pytest.fixture
def manifests(example: Path) -> Manifests:
    """What the chart makes of it."""
    return render(example)
