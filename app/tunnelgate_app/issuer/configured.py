"""Clients of the configuration, besides the first: who is known before anybody registers.

Specification: RFC 6749 section 2, RFC 8693 section 2.1
"""

from collections.abc import Collection
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from tunnelgate.token_requests import TOKEN_EXCHANGE
from tunnelgate_app.issuer.client_metadata import (
    GRANT_TYPES,
    MAX_REDIRECT_URIS,
    ClientName,
    RedirectUri,
)
from tunnelgate_app.issuer.clients import (
    CLIENT_CREDENTIALS,
    PUBLIC_METHOD,
    SECRET_METHODS,
    Client,
)
from tunnelgate_app.issuer.resources import Resources

_CLIENT_ID = r"^[A-Za-z0-9][A-Za-z0-9._@+\-]{0,63}$"  # no URL, which would be that of a client's document
_SECRET = r"^[\x20-\x7e]{1,200}$"  # noqa: S105 - a pattern, RFC 6749 appendix A.2


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    client_id: Annotated[str, StringConstraints(strict=True, pattern=_CLIENT_ID)]
    client_secret: Annotated[str, StringConstraints(strict=True, pattern=_SECRET)] | None = None
    name: ClientName = None
    redirect_uris: Annotated[tuple[RedirectUri, ...], Field(max_length=MAX_REDIRECT_URIS)] = ()
    may_exchange: Annotated[bool, Field(strict=True)] = False
    exchange_from: tuple[str, ...] = ()


_TYPE: Final[TypeAdapter[tuple[_Options, ...]]] = TypeAdapter(tuple[_Options, ...])


def configured_clients(options: Any, resources: Resources, taken: Collection[str]) -> tuple[Client, ...]:
    """Return the clients that ``options`` describe, none of which has a ``client_id`` that is ``taken``.

    One with ``redirect_uris`` is for users, one that ``may_exchange`` exchanges their tokens, and one
    with neither asks for itself. Raises :class:`ValueError` with a sentence.
    """
    try:
        described = _TYPE.validate_python(options)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(("clients", *(str(part) for part in first["loc"])))
        raise ValueError(f"{place}: {first['msg'].removeprefix('Value error, ')}") from None
    seen = set(taken)
    for each in described:
        if each.client_id in seen:
            raise ValueError(f"clients: {each.client_id} is there twice")
        seen.add(each.client_id)
        _check(each, resources)
    return tuple(_client(each) for each in described)


def _check(options: _Options, resources: Resources) -> None:
    name = f"clients: {options.client_id}"
    if options.client_secret is None and options.may_exchange:
        raise ValueError(f"{name} needs a client_secret to exchange tokens")
    if options.client_secret is None and not options.redirect_uris:
        raise ValueError(f"{name} can do nothing: it has neither a client_secret nor redirect_uris")
    if options.may_exchange != bool(options.exchange_from):
        raise ValueError(f"{name} needs both may_exchange and exchange_from, or neither")
    for url in options.exchange_from:
        if url not in resources:
            raise ValueError(f"{name} cannot exchange from {url}, which is none of the resources")


def _client(options: _Options) -> Client:
    grant_types: tuple[str, ...] = GRANT_TYPES if options.redirect_uris else ()
    if options.may_exchange:
        grant_types += (TOKEN_EXCHANGE,)
    return Client(
        options.client_id,
        options.client_secret,
        name=options.name or "",
        methods=(PUBLIC_METHOD,) if options.client_secret is None else tuple(SECRET_METHODS),
        grant_types=grant_types or (CLIENT_CREDENTIALS,),
        redirect_uris=options.redirect_uris,
        exchange_from=frozenset(options.exchange_from),
    )
