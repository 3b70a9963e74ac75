"""How the gate authenticates to an issuer, where it is a client itself.

Specification: RFC 6749 section 2.3.1 and appendix B.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote_plus

Method = Literal["client_secret_basic", "client_secret_post"]


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """A client's name and secret, and which of the two ways an issuer takes them in.

    Raises :class:`ValueError` for what is not Unicode, such as a variable of the environment that is
    not UTF-8.
    """

    client_id: str
    client_secret: str = field(repr=False)
    method: Method = "client_secret_basic"

    def __post_init__(self) -> None:
        for name in ("client_id", "client_secret"):
            try:
                getattr(self, name).encode("utf-8")
            except UnicodeEncodeError:
                raise ValueError(f"{name} is not UTF-8") from None

    def authenticate(self, form: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        """Return ``form`` and the headers with which it is sent."""
        if self.method == "client_secret_post":
            return {**form, "client_id": self.client_id, "client_secret": self.client_secret}, {}
        # Encoded as in a form first, so that a colon in a name is not the one between name and secret.
        credentials = f"{quote_plus(self.client_id)}:{quote_plus(self.client_secret)}".encode("ascii")
        return dict(form), {"authorization": f"Basic {b64encode(credentials).decode('ascii')}"}
