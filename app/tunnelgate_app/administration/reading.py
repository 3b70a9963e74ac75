"""Reads what the Tunnels API answers, and takes nothing that is not as documented."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tunnelgate.reading.fault import Fault
from tunnelgate.reading.strict_json import is_array, is_object, read_json
from tunnelgate_app.administration.errors import AdministrationError
from tunnelgate_app.administration.records import Certificate, Tunnel, TunnelToken

_ID = re.compile(r"[a-z]+_[A-Za-z0-9_-]{1,120}")
_DOMAIN = re.compile(r"(?!-)[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")
_TOKEN = re.compile(r"[!-~]{1,8192}")
_CURSOR = re.compile(r"[!-~]{1,4096}")


def is_tunnel_id(text: str) -> bool:
    """Return whether ``text`` can be the id of a tunnel."""
    return text.startswith("tnl_") and _ID.fullmatch(text) is not None


def is_certificate_id(text: str) -> bool:
    """Return whether ``text`` can be the id of a certificate."""
    return text.startswith("tcrt_") and _ID.fullmatch(text) is not None


def read_object(body: bytes) -> dict[str, Any]:
    """Return the object that an answer is; raises :class:`AdministrationError`."""
    try:
        document, _ = read_json(body, lenient=True)
    except Fault:
        document = None
    if not is_object(document):
        raise AdministrationError(
            "what answered is not the API: it sent no JSON object; is something between that answers"
            " in its place, such as a proxy with a login page?"
        )
    return document


def read_tunnel(document: object) -> Tunnel:
    """Return the tunnel that a document of the API describes; raises :class:`AdministrationError`."""
    members = _object(document, "tunnel")
    identifier = _text(members, "id", _ID)
    if not is_tunnel_id(identifier):
        raise _unexpected("id")
    transport = members.get("transport")
    return Tunnel(
        id=identifier,
        domain=_text(members, "domain", _DOMAIN),
        display_name=_optional_text(members, "display_name"),
        transport=_optional_text(transport, "type") if is_object(transport) else None,
        created_at=_time(members, "created_at"),
        archived_at=_optional_time(members, "archived_at"),
    )


def read_issued_token(document: Mapping[str, Any]) -> TunnelToken | None:
    """Return the token that the answer to creating a tunnel carries, as it does for relay tunnels alone."""
    transport = document.get("transport")
    token = transport.get("token") if is_object(transport) else None
    return None if token is None else read_token(token)


def read_token(document: object) -> TunnelToken:
    """Return the token that a document of the API holds; raises :class:`AdministrationError`."""
    members = _object(document, "tunnel_token")
    return TunnelToken(_text(members, "id", _ID), _text(members, "tunnel_token", _TOKEN))


def read_certificate(document: object) -> Certificate:
    """Return the certificate that a document of the API describes; raises :class:`AdministrationError`."""
    members = _object(document, "tunnel_certificate")
    identifier = _text(members, "id", _ID)
    if not is_certificate_id(identifier):
        raise _unexpected("id")
    return Certificate(
        id=identifier,
        tunnel_id=_text(members, "tunnel_id", _ID),
        fingerprint=_text(members, "fingerprint", _FINGERPRINT),
        created_at=_time(members, "created_at"),
        expires_at=_optional_time(members, "expires_at"),
        archived_at=_optional_time(members, "archived_at"),
    )


def read_page(document: Mapping[str, Any]) -> tuple[list[Any], str | None]:
    """Return what a page of a list holds, and where the next begins, if there is one."""
    data = document.get("data")
    if not is_array(data):
        raise _unexpected("data")
    if not document.get("next_page"):
        return data, None
    return data, _text(document, "next_page", _CURSOR)


def _object(document: object, kind: str) -> dict[str, Any]:
    if not is_object(document) or document.get("type") != kind:
        raise _unexpected("type")
    return document


def _text(members: Mapping[str, Any], name: str, form: re.Pattern[str]) -> str:
    value = members.get(name)
    if not isinstance(value, str) or form.fullmatch(value) is None:
        raise _unexpected(name)
    return value


def _optional_text(members: Mapping[str, Any], name: str) -> str | None:
    value = members.get(name)
    if value is not None and not isinstance(value, str):
        raise _unexpected(name)
    return value


def _time(members: Mapping[str, Any], name: str) -> datetime:
    try:
        time = datetime.fromisoformat(members[name])
        if time.tzinfo is not None:
            return time
    except (KeyError, TypeError, ValueError):
        pass
    raise _unexpected(name)


def _optional_time(members: Mapping[str, Any], name: str) -> datetime | None:
    return None if members.get(name) is None else _time(members, name)


def _unexpected(name: str) -> AdministrationError:
    # Without the value, which may be a token.
    return AdministrationError(
        f"the answer of the API is not as documented in its member {name};"
        " the Tunnels API is a research preview and may have changed"
    )
