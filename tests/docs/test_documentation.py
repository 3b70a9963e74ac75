"""What the documentation lists is what the code has."""

import re
import subprocess
import sys
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from tests.docs.blocks import PAGES, ROOT, blocks
from tunnelgate import (
    Audit,
    Clients,
    Credentials,
    Dpop,
    IntrospectionClient,
    Issuer,
    Limits,
    OAuth,
    Policy,
    Route,
    RouteClients,
    RouteUpstream,
    Rule,
    Tls,
    TokenRequest,
    Upstreams,
    UpstreamTls,
)
from tunnelgate_app.demo import ROUTES
from tunnelgate_app.issuer import create_app
from tunnelgate_app.issuer.app import PATHS
from tunnelgate_servers import billing_audit, deploy_status, docs_readonly, tickets_draft

CONFIGURATION = ROOT / "docs" / "configuration.md"
ISSUER = ROOT / "docs" / "development-issuer.md"
PROMISES = ROOT / "docs" / "promises.md"
SECTIONS: dict[str, type[BaseModel]] = {
    "The gate": Policy,
    "`tls`": Tls,
    "`clients`": Clients,
    "`oauth`": OAuth,
    "Each of `oauth.issuers`": Issuer,
    "Each of `oauth.issuers.introspection`": IntrospectionClient,
    "`dpop`": Dpop,
    "`upstream`": Upstreams,
    "`upstream.tls`": UpstreamTls,
    "`limits`": Limits,
    "`routes`": Route,
    "Each of `routes.*.upstream`": RouteUpstream,
    "Each of `routes.*.credentials`": Credentials,
    "Each of `routes.*.credentials.token_exchange`": TokenRequest,
    "Each of `routes.*.clients`": RouteClients,
    "Each of `routes.*.tools`": Rule,
    "`audit`": Audit,
}


AS_LISTS = str.maketrans("()", "[]")  # what YAML has for the tuples of Python


def first_column(text: str) -> list[str]:
    return re.findall(r"^\| `?([a-z_-]+)`? \|", text, re.MULTILINE)


def sections() -> dict[str, str]:
    """Return the text below each heading of the page about the configuration."""
    parts = re.split(r"^#{2,3} (.+)$", CONFIGURATION.read_text("utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_setting_is_documented_and_nothing_else_is(heading: str) -> None:
    documented = [name for name in first_column(sections()[heading]) if name != "setting"]

    assert documented == list(SECTIONS[heading].model_fields)


def test_the_connector_leads_to_the_socket_and_the_host_of_the_gate_above_it() -> None:
    page = [block for block in blocks("", "yaml") if block.page == CONFIGURATION]
    connector = next(block for block in page if block.text.startswith("ingress:"))
    gate = yaml.safe_load(page[page.index(connector) - 1].text)
    rule, last = yaml.safe_load(connector.text)["ingress"]

    assert rule == {"hostname": next(iter(gate["routes"])), "service": gate["listen_addr"]}
    assert last == {"service": "http_status:404"}


def test_every_option_of_the_development_issuer_is_documented_with_its_default() -> None:
    rows = re.findall(r"^\| (`[a-z_]+`(?:, `[a-z_]+`)*) \| (.+?) \|", ISSUER.read_text("utf-8"), re.MULTILINE)
    documented = {
        name: default.strip("`") for names, default in rows for name in re.findall(r"[a-z_]+", names)
    }
    options = {
        name: "required" if each.default is each.empty else each.default
        for name, each in signature(create_app).parameters.items()
        if name not in ("fetch", "clock")  # which are for tests
    }

    assert list(documented) == list(options)
    for name, default in options.items():
        assert repr(yaml.safe_load(documented[name])) == repr(default).translate(AS_LISTS), name


FACTORIES: dict[str, Callable[..., Any]] = {
    "docs-readonly": docs_readonly.create_app,
    "tickets-draft": tickets_draft.create_app,
    "The desk": tickets_draft.create_desk,
    "billing-audit": billing_audit.create_app,
    "deploy-status": deploy_status.create_app,
}
SERVERS_PAGE = ROOT / "docs" / "servers.md"


def options_below(heading: str) -> list[str]:
    text = SERVERS_PAGE.read_text("utf-8")
    parts = re.split(r"^#{2,3} (.+)$", text, flags=re.MULTILINE)
    section = dict(zip(parts[1::2], parts[2::2], strict=True))[heading]
    rows = re.findall(r"^\| (`[a-z_]+`(?:, `[a-z_]+`)*) \|", section, re.MULTILINE)
    return [name for names in rows for name in re.findall(r"[a-z_]+", names)]


@pytest.mark.parametrize("heading", FACTORIES)
def test_every_option_of_a_sample_server_is_documented_and_nothing_else_is(heading: str) -> None:
    taken = set(signature(FACTORIES[heading]).parameters) - {"fetch", "clock"}  # which are for tests
    common = set[str]() if heading == "The desk" else set(options_below("Inside a gate"))

    documented = options_below(heading)
    assert len(documented) == len(set(documented))
    assert set(documented) | common == taken
    assert set(documented) & common == set()


def test_the_tools_of_the_sample_servers_are_documented_with_what_the_demo_lists_and_asks_for() -> None:
    table = re.findall(
        r"^\| `([a-z]+)-[a-z]+` \| [^|]+ \| ([^|]+) \| ([^|]+) \|",
        SERVERS_PAGE.read_text("utf-8"),
        re.MULTILINE,
    )

    documented = {name: (scopes_of(listed), scopes_of(unlisted)) for name, listed, unlisted in table}
    for route in ROUTES.values():
        listed, unlisted = documented[route.name]
        assert list(listed) == list(route.tools)
        assert {name: (scope,) for name, scope in listed.items()} == {
            name: route.tool_scopes.get(name, route.scopes) for name in route.tools
        }
        assert list(unlisted) == list(route.unlisted)
        assert set(unlisted.values()) & set(route.offered) == set()
    assert list(documented) == list(ROUTES)


def scopes_of(cell: str) -> dict[str, str]:
    """Return the scope of each tool in a cell such as `read_doc`, `list_docs`: `docs:read`; …"""
    scopes: dict[str, str] = {}
    for part in cell.split(";"):
        *tools, scope = re.findall(r"`([^`]+)`", part)
        scopes |= dict.fromkeys(tools, scope)
    return scopes


def test_every_path_of_the_development_issuer_is_documented() -> None:
    text = ISSUER.read_text("utf-8")

    assert [path for path in PATHS if f"`{path}`" not in text] == []


@pytest.mark.checkout
def test_the_table_of_refusals_is_the_one_that_is_answered_by() -> None:
    check = [sys.executable, "scripts/write_tables.py", "--check"]

    assert subprocess.run(check, cwd=ROOT, timeout=60, check=False).returncode == 0, (
        "run: .venv/bin/python scripts/write_tables.py"
    )


def test_every_promise_has_a_test_and_every_test_a_promise() -> None:
    promised = [name for name in first_column(PROMISES.read_text("utf-8")) if name != "id"]
    sources = [path.read_text("utf-8") for path in sorted((ROOT / "tests").rglob("test_*.py"))]
    shown = {name for source in sources for name in re.findall(r'mark\.promise\("([^"]+)"\)', source)}

    assert len(promised) == len(set(promised))
    assert shown == set(promised)


def test_every_link_within_the_documentation_leads_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in [*PAGES, ROOT / "CHANGELOG.md"]
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8"))
        if not (page.parent / target).exists() and is_documentation(page.parent / target)
    ]

    assert broken == []


def is_documentation(target: Path) -> bool:
    """Return whether a link stays where the documentation is, also when only the package is installed."""
    folder = target.resolve().relative_to(ROOT.resolve()).parts[0]
    return target.suffix == ".md" or folder in ("docs", "examples")
