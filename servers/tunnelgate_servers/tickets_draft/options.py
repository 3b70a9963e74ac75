"""Reading: what a configuration gives as options besides those that all servers have."""

import re

from tunnelgate_servers.hosting import OptionsError

# The person is sent there, so nothing in it may lead anywhere else: no user, no query, no fragment.
_URL = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]*)?")


def read_desk_url(value: object) -> str | None:
    """Return the URL of the page for persons without a slash at its end; raises `OptionsError`."""
    if value is None:
        return None
    if isinstance(value, str) and _URL.fullmatch(value):
        return value.rstrip("/")
    raise OptionsError(
        f"The option desk_url has to be a URL such as https://desk.example.com, not {value!r}."
    )
