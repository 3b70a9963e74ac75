"""Reading: texts as the words they hold, in which accents and punctuation make no difference.

A folded text is as long as the text it was made of, character for character, so that a place in one is the
same place in the other.
"""

import unicodedata


class _Folds(dict[int, str]):
    """What each character becomes, found out when it is first met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        base = unicodedata.normalize("NFD", character)[0]
        is_word = character.isalnum() or unicodedata.category(character).startswith("M")
        folded = self[code] = base if is_word else " "
        return folded


_FOLDS = _Folds()


def composed(text: str) -> str:
    """Return a text in which an accent and its letter are one character where there is one (NFC)."""
    return unicodedata.normalize("NFC", text)


def fold(text: str) -> str:
    """Return a composed text with letters without accents, and spaces for what is no letter or digit."""
    return text.translate(_FOLDS)
