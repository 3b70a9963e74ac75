"""Which parts of texts are numbers of cards and accounts, and what is shown of them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.servers.billing_audit.numbers_typed import cards, iban, ibans, plain, typed, with_check_digit
from tunnelgate_servers.billing_audit.redaction import last_four, redacted

WORDS = st.sampled_from(["", "card ", "Paid by phone, ", "ref. INV-2026-03-1001: ", "Überweisung von ", "…"])


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("card 4242424242424242", "card •••• 4242", id="a card number"),
        pytest.param("card 4242 4242 4242 4242.", "card •••• 4242.", id="with blanks"),
        pytest.param("card 4242-4242-4242-4242.", "card •••• 4242.", id="with dashes"),
        pytest.param("4242.4242.4242.4242", "•••• 4242", id="with dots"),
        pytest.param("3782 822463 10005", "•••• 0005", id="of fifteen digits in three groups"),
        pytest.param("6304 0000 0000", "•••• 0000", id="of twelve digits"),
        pytest.param("6759 6498 2643 8453 000", "•••• 3000", id="of nineteen digits"),
        pytest.param("4 2 4 2 4 2 4 2 4 2 4 2 4 2 4 2", "•••• 4242", id="digit by digit"),
        pytest.param("4242 - 4242 - 4242 - 4242", "•••• 4242", id="with blanks and dashes"),
        pytest.param("4242\n4242\n4242\n4242", "•••• 4242", id="in lines"),
        pytest.param("4242\u200b4242\u200b4242\u200b4242", "•••• 4242", id="with invisible separators"),
        pytest.param(
            "\uff14\uff12" * 8,
            "•••• 4242",
            id="in wide digits",
        ),
        pytest.param("\u0664\u0662" * 8, "•••• 4242", id="in Arabic digits"),
        pytest.param("xy4242424242424242xy", "xy•••• 4242xy", id="between letters"),
        pytest.param("DE89370400440532013000", "•••• 3000", id="an IBAN"),
        pytest.param("from DE89 3704 0044 0532 0130 00, thanks", "from •••• 3000, thanks", id="in groups"),
        pytest.param("de89370400440532013000", "•••• 3000", id="an IBAN in small letters"),
        pytest.param("IBANDE89370400440532013000", "IBAN•••• 3000", id="an IBAN after letters"),
        pytest.param("GB29 NWBK 6016 1331 9268 19", "•••• 6819", id="an IBAN with letters"),
        pytest.param("\uff24\uff2589 3704 0044 0532 0130 00", "•••• 3000", id="an IBAN in wide letters"),
        pytest.param("MT84MALT011000012345MTLCAST001S", "•••• 001S", id="an IBAN that ends with a letter"),
        pytest.param("account 12345678", "account •••• 5678", id="the number of an account"),
        pytest.param("account 0008 9197 68", "account •••• 9768", id="the number of an account in groups"),
        pytest.param(
            "4242424242424242 and 5555555555554444", "•••• 4242 and •••• 4444", id="two cards in one text"
        ),
    ],
)
@pytest.mark.promise("numbers-redacted")
def test_of_a_number_the_last_four_are_shown(text: str, shown: str) -> None:
    assert redacted(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Subscription for March 2026",
        "Team plan, 25 seats",
        "INV-2026-03-1001",
        "INV-2026-03-1001 of 2026-03-01",
        "2026-03-01 - 2026-03-31",
        "2026-03-01/2026-03-31 2026-04-01",
        "2026-03-01T12:00:00Z",
        "TXN-000123, TXN-99999999999 and ACC-1001",
        "EUR 1,234.50 was paid on 2026-03-09",
        "JPY 123,456,789,012",
        "1234567",
        "4242-4242-424x",
        "4242-4242-4241",
        "4242, 4242, 4242, 4242",
        "4242 ---- 4242-4242 ---- 4242",
        "from NL92 ABNA 0417-1643-00",
        "ZZ91 ABNA 0417-1643-00",
        "NO93 8601",
        "•••• 4242",
        "½ ¼ ² Ⅷ ⑩ ㉈ \U0001d7d9\U0001d7da",
    ],
)
def test_other_texts_are_as_they_were(text: str) -> None:
    assert redacted(text) == text


@given(typed(st.one_of(cards(), ibans())), WORDS, WORDS)
@example((iban("DE", "370400440532013000"), "DE89 3704 0044 0532 0130 00"), "", "")
@pytest.mark.promise("numbers-redacted")
def test_no_number_is_in_what_is_shown(number_and_text: tuple[str, str], before: str, after: str) -> None:
    number, text = number_and_text

    shown = redacted(f"{before}{text} {after}")

    assert "••••" in shown
    assert number[:-4] not in plain(shown)
    assert number[-8:] not in plain(shown)


@given(typed(cards()), st.text("0123456789 -", max_size=12), st.text("0123456789 -", max_size=12))
def test_digits_around_a_card_number_do_not_bring_it_out(
    number_and_text: tuple[str, str], before: str, after: str
) -> None:
    number, text = number_and_text

    assert number not in plain(redacted(f"{before}{text}{after}"))


@given(st.text())
def test_any_text_is_read_to_its_end(text: str) -> None:
    assert redacted(f"{text}\n!") == f"{redacted(text)}\n!"


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("4242424242424242", "•••• 4242"),
        ("DE89 3704 0044 0532 0130 00", "•••• 3000"),
        ("12345", "•••• 2345"),
        ("1234", "••••"),
        ("", "••••"),
        ("-.-", "••••"),
    ],
)
def test_of_a_stored_number_only_the_last_four_are_shown(number: str, shown: str) -> None:
    assert last_four(number) == shown


def test_the_numbers_of_these_tests_are_right() -> None:
    assert with_check_digit("424242424242424") == "4242424242424242"
    assert iban("GB", "NWBK60161331926819") == "GB29NWBK60161331926819"
