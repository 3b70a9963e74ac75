"""What of foreign texts is shown: one line of bounded length, without what a terminal obeys or secrets."""

from collections.abc import Iterable

from tunnelgate_app.asking.answers import printable

MAX_SHOWN = 600  # characters of one text
_LEFT_OUT = "(left out)"
_CUT = "…"
_MIN_SECRET = 4  # characters; what is shorter stands in every text by chance


class Wording:
    """Makes texts fit to be shown."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def leave_out(self, secret: str) -> None:
        """Show ``secret`` in no text from now on."""
        if len(secret) >= _MIN_SECRET:
            self._secrets.add(secret)

    def clean(self, text: str, most: int = MAX_SHOWN) -> str:
        """Return ``text`` on one line, without secrets and what is no plain character."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = _without_beginning(text.replace(secret, _LEFT_OUT), secret)
        return printable(text, most)


def _without_beginning(text: str, secret: str) -> str:
    """Return ``text`` without what is left of ``secret`` where somebody has cut it before."""
    parts = text.split(_CUT)
    for index, part in enumerate(parts[:-1]):
        for length in range(min(len(secret), len(part)), _MIN_SECRET - 1, -1):
            if part.endswith(secret[:length]):
                parts[index] = part[:-length] + _LEFT_OUT
                break
    return _CUT.join(parts)


def listed(names: Iterable[str], most: int = 12) -> str:
    """Return ``names`` as a list in a sentence, cut where there are very many."""
    named = list(names)
    rest = f" and {len(named) - most} more" if len(named) > most else ""
    return ", ".join(named[:most]) + rest
