"""HTTP clients that go to this machine alone, as tests need them."""

from tunnelgate.upstream.addresses import AddressRules
from tunnelgate.upstream.dialling import Dialler
from tunnelgate.upstream.fetching import TIMEOUT, GuardedFetch
from tunnelgate.upstream.tls import system_tls

LOOPBACK = ("127.0.0.0/8", "::1")


def fetch_within(seconds: float) -> GuardedFetch:
    """Return a client that waits for a whole answer that long."""
    return GuardedFetch(Dialler(AddressRules(LOOPBACK)), system_tls(), seconds=seconds)


loopback_fetch = fetch_within(TIMEOUT)
