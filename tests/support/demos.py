"""The demo with one of its servers, for tests that need no data of the others."""

from pathlib import Path

import yaml

from tunnelgate_app.demo import ISSUER_ROUTE, ROUTES, prepare


def prepare_docs_alone(folder: Path, port: int, documents: Path) -> Path:
    """Write the configuration of a demo that has the docs server and the issuer, and return its path."""
    file = prepare(folder, port, documents)
    configuration = yaml.safe_load(file.read_text("utf-8"))
    kept = (ROUTES["docs"].name, ISSUER_ROUTE)
    configuration["routes"] = {name: configuration["routes"][name] for name in kept}
    file.write_text(yaml.safe_dump(configuration, sort_keys=False), "utf-8")
    return file
