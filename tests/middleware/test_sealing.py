from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunnelgate.sealing import MAX_SEALED, MIN_KEY, Sealer

OLD, NEW, OTHER = b"o" * MIN_KEY, b"n" * MIN_KEY, b"x" * MIN_KEY
CONTEXT = (b"session", b"docs", b"https://login.example.com/", b"alice", b"app")
OVERHEAD = 17  # octets: the tag, and the one that makes no text empty

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
PLAIN = st.binary(max_size=80)
CONTEXTS = st.lists(st.binary(max_size=20), max_size=6)


def _octets(sealed: str) -> bytes:
    return urlsafe_b64decode(sealed + "=" * (-len(sealed) % 4))


def _text(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


# Keys


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        pytest.param([], "there is no key to seal with", id="no key"),
        pytest.param([b""], "a key of fewer than 32 octets", id="an empty key"),
        pytest.param([b"k" * (MIN_KEY - 1)], "a key of fewer than 32 octets", id="a key one octet too short"),
        pytest.param([OLD, b"k" * (MIN_KEY - 1)], "a key of fewer than 32 octets", id="a short second key"),
    ],
)
def test_keys_that_anybody_could_guess_are_refused_at_construction(
    keys: Sequence[bytes], sentence: str
) -> None:
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        Sealer(keys)


def test_a_key_may_be_as_short_as_the_bound_and_longer() -> None:
    shortest, longer = Sealer([b"k" * MIN_KEY]), Sealer([b"k" * 1000])

    assert shortest.open(shortest.seal(b"a", CONTEXT), CONTEXT) == b"a"
    assert longer.open(longer.seal(b"a", CONTEXT), CONTEXT) == b"a"


def test_every_octet_of_a_key_counts_however_long_it_is() -> None:
    assert Sealer([b"k" * 999 + b"l"]).open(Sealer([b"k" * 1000]).seal(b"a", CONTEXT), CONTEXT) is None


@pytest.mark.parametrize(
    ("sealing", "opening", "opened"),
    [
        pytest.param([OLD], [OLD], b"a", id="a replica with the same key"),
        pytest.param([OLD], [NEW, OLD], b"a", id="a replica that already seals with the next key"),
        pytest.param([NEW, OLD], [OLD, NEW], b"a", id="the same keys the other way round"),
        pytest.param([NEW, OLD], [NEW], b"a", id="a replica that has forgotten the last key"),
        pytest.param([NEW, OLD], [OLD], None, id="a replica that has only the last key"),
        pytest.param([OLD], [NEW], None, id="a replica that has another key"),
        pytest.param([OLD], [NEW, OTHER], None, id="a replica that has two other keys"),
    ],
)
def test_the_first_key_seals_and_any_key_opens(
    sealing: Sequence[bytes], opening: Sequence[bytes], opened: bytes | None
) -> None:
    assert opened == Sealer(opening).open(Sealer(sealing).seal(b"a", CONTEXT), CONTEXT)


def test_what_is_sealed_at_random_nobody_else_opens() -> None:
    first, second = Sealer.random(), Sealer.random()
    sealed = first.seal(b"a", CONTEXT)

    assert (first.open(sealed, CONTEXT), second.open(sealed, CONTEXT)) == (b"a", None)


# Files of keys


def _file(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"], ids=["no line end", "a line end", "that of Windows"])
def test_one_line_end_behind_a_key_in_a_file_does_not_count(tmp_path: Path, end: bytes) -> None:
    path = _file(tmp_path, "key", OLD + end)

    sealed = Sealer.from_files([path]).seal(b"a", CONTEXT)

    assert Sealer([OLD]).open(sealed, CONTEXT) == b"a"
    assert Sealer.from_files([str(path)]).open(sealed, CONTEXT) == b"a"


@pytest.mark.parametrize(
    ("content", "key"),
    [
        pytest.param(OLD + b"\n\n", OLD + b"\n", id="a second line end"),
        pytest.param(OLD + b" \n", OLD + b" ", id="a space before the line end"),
        pytest.param(OLD + b"\t", OLD + b"\t", id="a tab"),
        pytest.param(b"\n" + OLD, b"\n" + OLD, id="a line end before it"),
        pytest.param(b" " * 100, b" " * 100, id="nothing but spaces"),
    ],
)
def test_every_other_octet_of_a_file_is_one_of_the_key(tmp_path: Path, content: bytes, key: bytes) -> None:
    # A key of random octets may begin and end with any of them.
    sealed = Sealer.from_files([_file(tmp_path, "key", content)]).seal(b"a", CONTEXT)

    assert Sealer([key]).open(sealed, CONTEXT) == b"a"
    assert Sealer([OLD]).open(sealed, CONTEXT) is None


def test_the_key_in_the_first_file_seals_and_the_keys_in_all_files_open(tmp_path: Path) -> None:
    new, old = _file(tmp_path, "new", NEW), _file(tmp_path, "old", OLD)
    sealer = Sealer.from_files([new, old])

    assert sealer.open(Sealer([OLD]).seal(b"a", CONTEXT), CONTEXT) == b"a"
    assert sealer.seal(b"a", CONTEXT) == Sealer([NEW]).seal(b"a", CONTEXT)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="an empty file"),
        pytest.param(b"\n" * MIN_KEY, id="as many line ends as a key has octets"),
        pytest.param(b"k" * (MIN_KEY - 1), id="a key one octet too short"),
        pytest.param(b"k" * (MIN_KEY - 1) + b"\n", id="a key that is long enough only with its line end"),
    ],
)
def test_a_file_with_a_short_key_is_named(tmp_path: Path, content: bytes) -> None:
    good, short = _file(tmp_path, "good", OLD), _file(tmp_path, "short.key", content)

    with pytest.raises(ValueError, match=r"^short\.key holds a key of fewer than 32 octets$"):
        Sealer.from_files([good, short])


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Sealer.from_files([tmp_path / "missing"])


def test_no_file_at_all_is_no_key() -> None:
    with pytest.raises(ValueError, match="there is no key to seal with"):
        Sealer.from_files([])


# Sealing and opening


@given(plain=PLAIN, context=CONTEXTS)
def test_what_was_sealed_is_opened_in_its_context(plain: bytes, context: list[bytes]) -> None:
    assert Sealer([OLD]).open(Sealer([OLD]).seal(plain, context), context) == plain


@given(plain=PLAIN, context=CONTEXTS)
def test_the_same_text_sealed_for_the_same_purpose_is_the_same_again(
    plain: bytes, context: list[bytes]
) -> None:
    assert Sealer([OLD, NEW]).seal(plain, context) == Sealer([OLD]).seal(plain, iter(context))


@given(plain=PLAIN, context=CONTEXTS)
def test_what_is_sealed_consists_of_letters_of_urls_and_can_be_a_header(
    plain: bytes, context: list[bytes]
) -> None:
    sealed = Sealer([OLD]).seal(plain, context)

    assert set(sealed) <= set(LETTERS)
    assert len(_octets(sealed)) == len(plain) + OVERHEAD


@given(plain=st.binary(min_size=3, max_size=80))
def test_what_is_sealed_does_not_show_what_it_is(plain: bytes) -> None:
    assert plain not in _octets(Sealer([OLD]).seal(plain, CONTEXT))


@given(plain=PLAIN, data=st.data())
def test_a_sealed_text_of_which_any_bit_was_changed_opens_for_nobody(
    plain: bytes, data: st.DataObject
) -> None:
    sealer = Sealer([OLD, NEW])
    octets = bytearray(_octets(sealer.seal(plain, CONTEXT)))
    bit = data.draw(st.integers(0, 8 * len(octets) - 1))
    octets[bit // 8] ^= 1 << bit % 8

    assert sealer.open(_text(bytes(octets)), CONTEXT) is None


@given(plain=PLAIN, data=st.data())
def test_a_sealed_text_of_which_any_character_was_changed_left_out_or_added_opens_for_nobody(
    plain: bytes, data: st.DataObject
) -> None:
    sealer = Sealer([OLD])
    sealed = sealer.seal(plain, CONTEXT)
    position = data.draw(st.integers(0, len(sealed)))
    inserted = data.draw(st.characters(codec="utf-8"))
    changed = [sealed[:position] + inserted + sealed[position:]]
    if position < len(sealed):
        changed.append(sealed[:position] + sealed[position + 1 :])
        if inserted != sealed[position]:
            changed.append(sealed[:position] + inserted + sealed[position + 1 :])

    assert [None] * len(changed) == [sealer.open(text, CONTEXT) for text in changed]


@given(context=st.lists(st.binary(min_size=1, max_size=8), min_size=1, max_size=6), data=st.data())
def test_any_change_of_the_context_makes_it_unopenable(context: list[bytes], data: st.DataObject) -> None:
    sealer = Sealer([OLD])
    position = data.draw(st.integers(0, len(context) - 1))
    part = bytearray(context[position])
    bit = data.draw(st.integers(0, 8 * len(part) - 1))
    part[bit // 8] ^= 1 << bit % 8
    others = [
        [*context[:position], bytes(part), *context[position + 1 :]],
        [*context[:position], context[position][:-1], *context[position + 1 :]],
        [*context[:position], *context[position + 1 :]],
        [*context, b""],
        [*context[:position], b"", *context[position:]],
        [b"".join(context), *[b""] * (len(context) - 1)] if len(context) > 1 else [*context, *context],
    ]

    sealed = sealer.seal(b"a", context)

    assert [None] * len(others) == [sealer.open(sealed, other) for other in others]


@given(context=CONTEXTS, other=CONTEXTS)
def test_no_context_is_another(context: list[bytes], other: list[bytes]) -> None:
    sealer = Sealer([OLD])

    assert (sealer.open(sealer.seal(b"a", context), other) == b"a") is (context == other)


SEALED = Sealer([OLD]).seal(b"ab", CONTEXT)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(SEALED + "=" * (-len(SEALED) % 4), id="with its padding"),
        pytest.param(SEALED + "=", id="with an equals sign"),
        pytest.param(SEALED + "====", id="with four of them"),
        pytest.param(SEALED + "\n", id="with a line end"),
        pytest.param(" " + SEALED, id="with a space"),
        pytest.param(SEALED[:4] + "." + SEALED[4:], id="with a character that a decoder skips"),
        pytest.param(SEALED[:4] + "\0" + SEALED[4:], id="with a NUL"),
        pytest.param(SEALED[:4] + "é" + SEALED[4:], id="with a letter that is not ASCII"),
        pytest.param(SEALED[:-1], id="without its last character"),
        pytest.param(SEALED * 2, id="twice"),
        pytest.param("", id="nothing"),
        pytest.param("A", id="one character, which is no octet"),
        pytest.param("A" * 22, id="sixteen octets, which are a tag of nothing"),
        pytest.param("A" * 20, id="fewer octets than a tag has"),
        pytest.param("A" * MAX_SEALED, id="as many characters as there may be"),
        pytest.param("A" * (MAX_SEALED + 1), id="one more"),
    ],
)
def test_what_was_not_sealed_opens_for_nobody(text: str) -> None:
    assert Sealer([OLD, NEW]).open(text, CONTEXT) is None


def test_a_text_has_one_spelling_only() -> None:
    sealer = Sealer([OLD])
    sealed = next(
        each for n in range(100) for each in [sealer.seal(b"%d" % n, CONTEXT)] if {"-", "_"} <= set(each)
    )

    spellings = [sealed.replace("-", "+"), sealed.replace("_", "/"), sealed.translate({45: "+", 95: "/"})]

    assert sealer.open(sealed, CONTEXT) is not None
    assert [sealer.open(each, CONTEXT) for each in spellings] == [None] * 3


@pytest.mark.parametrize("plain", [b"", b"a", b"ab"], ids=["22 characters and two", "24", "26"])
def test_the_bits_that_no_octet_needs_have_one_value_only(plain: bytes) -> None:
    sealer = Sealer([OLD])
    sealed = sealer.seal(plain, CONTEXT)

    opened = [letter for letter in LETTERS if sealer.open(sealed[:-1] + letter, CONTEXT) is not None]

    assert opened == [sealed[-1]]


def test_the_longest_text_that_opens_has_as_many_characters_as_there_may_be() -> None:
    sealer = Sealer([OLD])
    most = MAX_SEALED // 4 * 3 - OVERHEAD
    longest, longer = sealer.seal(b"x" * most, CONTEXT), sealer.seal(b"x" * (most + 1), CONTEXT)

    assert len(longest) == MAX_SEALED < len(longer)
    assert sealer.open(longest, CONTEXT) == b"x" * most
    assert sealer.open(longer, CONTEXT) is None


@given(text=st.text(max_size=60) | st.text(alphabet=LETTERS, max_size=60))
def test_whatever_somebody_sends_is_opened_or_it_is_not(text: str) -> None:
    assert Sealer([OLD, NEW]).open(text, CONTEXT) is None
