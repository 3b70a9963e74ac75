"""JSON as no library writes it: texts with duplicates, case variants, escapes, odd numbers and odd space.

A sketch is what a text is made from: a list of pairs is an object, so that a name can stand in it
twice, a tuple is an array, a `str` is a text, and `Verbatim` stands in the JSON as it is.
"""

import json
from collections.abc import Callable
from typing import Any, cast

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]
Sketch = Any


class Verbatim(str):
    """What stands in a JSON text as it is: a number, a word, or something that is no JSON at all."""

    __slots__ = ()


NUMBERS = tuple(
    map(
        Verbatim,
        (
            *("0", "1", "7", "-1", "-0", "1.0", "1.5", "1E2", "0.10", "9007199254740991", "1e-400"),
            *("9007199254740993", "-9007199254740992", "1e400", "01", "+1", "1.", ".5", "0x1", "1_000"),
            *("NaN", "Infinity", "-Infinity", "\uff11", "\u0661", "1" * 400, "0." + "1" * 400),
        ),
    )
)
WORDS = tuple(map(Verbatim, ("null", "true", "false", "True", "nul", "undefined", "", "{}", "[]", "[[]]")))
TEXTS = (
    "",
    "a",
    "e\u0301",
    "é",
    "\u0000",
    "\u2028",
    "\ufeff",
    "\ufffd",
    "\U0001f600",
    '"',
    "\\",
    "/",
    "\n",
    "\u017f",
)
_SPACES = (" ", "\n\t", "\r\n", "\u00a0", "\ufeff", "\x0b", "\x00", "\u2028", "/**/", "//\n", ",", "\x85")
_BEHIND = (b"\n", b" ", b"\x00", b"{}", b"]", b"\xff", b",", b'{"method":"x"}')
_FOLDED = str.maketrans({"s": "\u017f", "k": "\u212a"})  # two letters that fold to ASCII

scalars = st.sampled_from((*NUMBERS, *WORDS, *TEXTS))
sketches: st.SearchStrategy[Sketch] = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.lists(st.tuples(st.sampled_from(TEXTS), inner), max_size=3)
    ),
    max_leaves=6,
)


@st.composite
def encoded(draw: Draw, sketch: Sketch, percent: int) -> bytes:
    """Return the octets of a text of `sketch` in which `percent` of all places are odd."""
    writer = _Writer(draw, percent)
    text = writer.value(sketch)
    octets: bytes = text.encode("utf-8", "surrogatepass")
    if writer.is_odd():
        octets += draw(st.sampled_from(_BEHIND))
    if writer.is_odd():
        coding = draw(st.sampled_from(["utf-8-sig", "utf-16", "utf-32", "utf-16-le", "cp1252"]))
        octets = text.encode(coding, "replace")
    if writer.is_odd() and octets:
        position = draw(st.integers(0, len(octets) - 1))
        octets = octets[:position] + draw(st.binary(max_size=2)) + octets[position + 1 :]
    return octets


class _Writer:
    def __init__(self, draw: Draw, percent: int) -> None:
        self._draw = draw
        self._percent = percent

    def is_odd(self) -> bool:
        return self._percent > 0 and self._draw(st.integers(0, 99)) >= 100 - self._percent

    def value(self, sketch: Sketch) -> str:
        match sketch:
            case Verbatim():
                text = str(sketch)
            case str():
                text = self._text(sketch)
            case list():
                text = self._object(cast("list[tuple[str, Sketch]]", sketch))
            case _:
                text = "[" + ",".join(map(self.value, sketch)) + "]"
        return self._space() + text + self._space()

    def _space(self) -> str:
        return self._draw(st.sampled_from(_SPACES)) if self.is_odd() else ""

    def _object(self, pairs: list[tuple[str, Sketch]]) -> str:
        members: list[tuple[str, Sketch]] = []
        for name, value in pairs:
            members.append((name, value))
            if self.is_odd():
                other = self._draw(st.just(value) | scalars | st.sampled_from([each for _, each in pairs]))
                position = self._draw(st.integers(0, len(members)))
                members.insert(position, (self._draw(st.sampled_from(variants(name))), other))
        written = [
            f"{self._space()}{self._text(name)}{self._space()}:{self.value(value)}" for name, value in members
        ]
        return "{" + ",".join(written) + ("," if self.is_odd() else "") + "}"

    def _text(self, text: str) -> str:
        plain = json.dumps(text, ensure_ascii=False)
        if not self.is_odd():
            return plain
        position = self._draw(st.integers(0, len(text)))
        before, after = (
            json.dumps(part, ensure_ascii=False)[1:-1] for part in (text[:position], text[position:])
        )
        octets = text.encode("utf-16-be", "surrogatepass")
        codes = [int.from_bytes(octets[at : at + 2]) for at in range(0, len(octets), 2)]
        written: str = self._draw(
            st.sampled_from(
                [
                    json.dumps(text),
                    plain.replace("/", "\\/"),
                    '"' + "".join(f"\\u{code:04X}" for code in codes) + '"',
                    '"'
                    + before
                    + "".join(f"\\u{code:04x}" for code in codes[position : position + 1])
                    + after[1:]
                    + '"',
                    *(
                        f'"{before}{odd}{after}"'
                        for odd in ("\\ud800", "\\uDC00\\ud83d", "\ud800", "\\u0000", "\0")
                    ),
                    *(
                        f'"{before}{odd}{after}"'
                        for odd in ("\n", "\\x41", "\\", "\\u00e", "\u202e", "\\U00000041")
                    ),
                    f'"{before}',
                    f"'{text}'",
                    text,
                ]
            )
        )
        return written


def variants(name: str) -> list[str]:
    """Return names that some reader takes for `name`, itself among them."""
    return [
        *(
            name,
            name.upper(),
            name.title(),
            name.swapcase(),
            name.translate(_FOLDED),
            f"{name}\0",
            f" {name}",
        ),
        *(
            name.replace("i", "\u0130"),
            name.replace("fi", "\ufb01"),
            f"{name}\u200b",
            f"{name}[]",
            name.replace("_", "-"),
        ),
    ]
