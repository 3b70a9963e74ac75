"""The token that the gate itself would send to an upstream."""

import os
from contextlib import closing

from tunnelgate import AuditFile, Policy, Unavailable
from tunnelgate.credentials import ExchangedToken
from tunnelgate.materials import gather
from tunnelgate.reading.fault import Fault
from tunnelgate.upstream.dialling import Resolve, resolve_by_system
from tunnelgate.upstream.opening import open_fetch
from tunnelgate_app.asking.answers import AskingError, Failure, printable

_LONGEST = 300  # characters of what an issuer is quoted with


async def own_token(policy: Policy, route: str, *, resolve: Resolve = resolve_by_system) -> str | None:
    """Return the token of the ``credentials`` of ``route``; ``resolve`` looks its issuer up.

    It is ``None`` where the gate sends none, and where it has one for each caller.
    Raises :class:`~tunnelgate.errors.ConfigurationError` for what is named and cannot be had, and
    :class:`~tunnelgate_app.asking.answers.AskingError` where an issuer gives none.
    """
    alone = {"routes": {route: policy.routes[route]}, "oauth": None, "sealing_keys": ()}
    fetch = open_fetch(policy, resolve=resolve)
    with closing(AuditFile(os.devnull)) as records:  # asking decides nothing
        materials = gather(policy.model_copy(update=alone), fetch=fetch, audit=records)
    credential = materials.credentials.get(route)
    if credential is None or isinstance(credential, ExchangedToken):
        return None
    try:
        return await credential.token_for(None)
    except (Fault, Unavailable) as error:
        sentence = f"cannot be asked with a token of the gate's own: {printable(str(error), _LONGEST)}"
        raise AskingError(Failure.NEEDS_TOKEN, sentence) from error
