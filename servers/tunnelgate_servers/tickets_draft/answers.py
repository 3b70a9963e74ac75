"""The sentences for what is not there, and for what somebody else has changed."""

from tunnelgate_servers.hosting import RequestError


def nothing_there() -> RequestError:
    """Return the error for a ticket or a draft that is not there, or not there for this principal."""
    return RequestError("There is no ticket and no draft of yours with this id; search_tickets finds them.")


def changed_meanwhile(version: int) -> RequestError:
    """Return the error for a change of another version than the one there is."""
    return RequestError(
        f"It has changed since it was read: its version is {version} now. Read it again with read_ticket, "
        f"and repeat the change with expected_version {version} if it still fits."
    )


def discarded_since() -> RequestError:
    """Return the error for an idempotency key whose draft was discarded."""
    return RequestError(
        "The draft that this idempotency_key made was discarded; use another key to make a new one."
    )
