"""The two pages that people see: the one that asks, and the one that says what is wrong.

They need no script and nothing from elsewhere, and whatever others wrote is escaped in them.

Specification: RFC 6819 section 5.2.4.1, Content Security Policy Level 3.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from pathlib import Path

from tunnelgate_app.issuer.redirects import host_of, source_of

_STYLE = (Path(__file__).parent / "page.css").read_text("utf-8")
_STYLE_SOURCE = f"'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'"
_NOTICE = (
    '<p class="notice"><strong>Development issuer</strong> '
    "Anybody at this machine can sign in here under any name, without a password. "
    "It is there to try out what stands behind the gate, and not for real accounts.</p>"
)


@dataclass(frozen=True, slots=True)
class Question:
    """What the page asks: whether ``client_id`` may use ``resource`` in the name of one of ``users``.

    ``scopes`` are those that the client asks for, ``ticked`` those that are granted unless the
    user says otherwise. ``sealed`` is the request as the form carries it, ``user`` and ``other``
    what was chosen and written before, and ``fault`` a sentence about what was wrong with it.
    """

    client_id: str
    client_name: str
    redirect_uri: str
    resource: str
    scopes: Sequence[str]
    ticked: Sequence[str]
    users: Sequence[str]
    sealed: str
    user: str
    other: str = ""
    fault: str = ""
    is_about_user: bool = False

    def html(self) -> str:
        """Return the page."""
        name = f"<bdi>{escape(self.client_name)}</bdi>" if self.client_name else "a client without a name"
        claim = '<p class="hint">It chose this name itself.</p>\n' if self.client_name else ""
        described_by = "fault other-hint" if self.is_about_user else "other-hint"
        invalid = ' aria-invalid="true" autofocus' if self.is_about_user and self.other else ""
        fault = f'<p class="error" role="alert" id="fault">{escape(self.fault)}</p>' if self.fault else ""
        return _document(
            "Sign in",
            f"""
<h1>Allow {name} to act for you?</h1>
{claim}<dl>
<dt>Client ID</dt><dd><code>{escape(self.client_id)}</code></dd>
<dt>Wants to use</dt><dd><code>{escape(self.resource)}</code></dd>
<dt>Sends you to</dt><dd><strong>{escape(host_of(self.redirect_uri))}</strong></dd>
</dl>
{fault}
<form method="post" action="authorize" autocomplete="off">
<input type="hidden" name="request" value="{escape(self.sealed)}">
<fieldset>
<legend>Sign in as</legend>
{"".join(self._user(each) for each in self.users)}
<label class="other" for="other">Somebody else
<span class="hint" id="other-hint">A name written here is used instead of the choice above.</span></label>
<input type="text" id="other" name="other" maxlength="64" value="{escape(self.other)}"
 aria-describedby="{described_by}"{invalid} autocapitalize="none" spellcheck="false">
</fieldset>
{self._scopes()}
<div class="actions">
<button type="submit" name="decision" value="approve">Approve</button>
<button type="submit" name="decision" value="deny">Deny</button>
</div>
</form>
""",
        )

    def _user(self, user: str) -> str:
        checked = " checked" if user == self.user else ""
        return (
            f'<label class="choice"><input type="radio" name="user" value="{escape(user)}"{checked}>'
            f"<span>{escape(user)}</span></label>\n"
        )

    def _scopes(self) -> str:
        if not self.scopes:
            return ""
        boxes = "".join(self._scope(each) for each in self.scopes)
        return f"<fieldset>\n<legend>It may use these scopes</legend>\n{boxes}</fieldset>"

    def _scope(self, scope: str) -> str:
        checked = " checked" if scope in self.ticked else ""
        return (
            f'<label class="choice"><input type="checkbox" name="scope" value="{escape(scope)}"{checked}>'
            f"<code>{escape(scope)}</code></label>\n"
        )


def fault_page(sentences: Sequence[str]) -> str:
    """Return the page for a request that cannot be answered to the client which sent the user."""
    text = "".join(f"<p>{escape(sentence)}</p>\n" for sentence in sentences)
    return _document("This cannot be done", f"<h1>This sign-in cannot go on</h1>\n{text}")


def page_headers(redirect_uri: str | None = None) -> dict[str, str]:
    """Return the headers of a page whose form may lead to ``redirect_uri``."""
    form_action = "'none'" if redirect_uri is None else f"'self' {source_of(redirect_uri)}"
    return {
        "cache-control": "no-store",
        "content-security-policy": (
            f"default-src 'none'; style-src {_STYLE_SOURCE}; form-action {form_action}; "
            "frame-ancestors 'none'; base-uri 'none'"
        ),
        # Under no-referrer browsers send `Origin: null` with the form; nobody else sees this one either.
        "referrer-policy": "same-origin",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
    }


def _document(title: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · Development issuer</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
{_NOTICE}
{body}
</main>
</body>
</html>
"""
