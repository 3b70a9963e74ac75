import ssl
from pathlib import Path

import pytest

from tests.app.certificates.crafting import DOMAIN
from tests.app.certificates.handshaking import handshake, server_of, strict_client
from tests.support.certificates import Authority
from tunnelgate_app.certificates.names import covers, names_of_domain, read_name

HOSTNAME_MISMATCH = 62  # X509_V_ERR_HOSTNAME_MISMATCH of OpenSSL
LABEL = "a" * 63
LONGEST = ".".join([LABEL, LABEL, LABEL, "a" * 61])


@pytest.mark.parametrize(
    ("name", "hostname", "expected"),
    [
        pytest.param(DOMAIN, DOMAIN, True, id="the same name"),
        pytest.param(DOMAIN.upper(), DOMAIN, True, id="the same name in capitals"),
        pytest.param(DOMAIN, f"docs.{DOMAIN}", False, id="a name below"),
        pytest.param(f"*.{DOMAIN}", f"docs.{DOMAIN}", True, id="one label in place of the asterisk"),
        pytest.param(f"*.{DOMAIN}", f"a.docs.{DOMAIN}", False, id="two labels in place of the asterisk"),
        pytest.param(f"*.{DOMAIN}", DOMAIN, False, id="no label in place of the asterisk"),
        pytest.param(f"*.{DOMAIN}", f"docs.x{DOMAIN}", False, id="another domain with the same end"),
        pytest.param(f"d*.{DOMAIN}", f"docs.{DOMAIN}", False, id="an asterisk in a label"),
        pytest.param(f"docs.*.{DOMAIN}", f"docs.a.{DOMAIN}", False, id="an asterisk in the second label"),
    ],
)
def test_a_name_covers_the_hostnames_that_openssl_takes_it_for(
    name: str, hostname: str, *, expected: bool, tmp_path: Path
) -> None:
    authority = Authority("the CA")
    server = server_of(*authority.issue_for_server(name).write(tmp_path, "server"))
    client = strict_client(authority.pem)
    client.hostname_checks_common_name = False

    assert covers(name, hostname) == takes(client, server, hostname) == expected


def takes(client: ssl.SSLContext, server: ssl.SSLContext, hostname: str) -> bool:
    try:
        handshake(server, client, hostname)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code != HOSTNAME_MISMATCH:
            raise
        return False
    return True


@pytest.mark.parametrize("hostname", ["", f".{DOMAIN}"])
def test_an_asterisk_stands_for_a_label_that_is_there(hostname: str) -> None:
    assert not covers(f"*.{DOMAIN}", hostname)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("docs.example.com", "docs.example.com", id="a hostname"),
        pytest.param("DOCS.Example.com", "docs.example.com", id="a hostname in capitals"),
        pytest.param("localhost", "localhost", id="a single label"),
        pytest.param("xn--bcher-kva.example", "xn--bcher-kva.example", id="an international name in ASCII"),
        pytest.param("1.2.3.a4", "1.2.3.a4", id="labels that begin with digits"),
        pytest.param(LONGEST, LONGEST, id="253 octets"),
    ],
)
def test_a_name_is_read_in_lower_case(name: str, expected: str) -> None:
    assert read_name(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="nothing"),
        pytest.param("example.com.", id="a dot at its end"),
        pytest.param("a..b", id="an empty label"),
        pytest.param("-a.example", id="a hyphen at the beginning of a label"),
        pytest.param("a-.example", id="a hyphen at the end of a label"),
        pytest.param("a_b.example", id="an underscore"),
        pytest.param("bücher.example", id="a letter outside ASCII"),
        pytest.param("\u212aelvin.example", id="a sign whose lower case is in ASCII"),
        pytest.param("*.example.com", id="an asterisk"),
        pytest.param("10.1.2.3", id="an address"),
        pytest.param("::1", id="an address with colons"),
        pytest.param("example.com:443", id="a port"),
        pytest.param("example.com\n", id="a line break"),
        pytest.param(f"a{LABEL}.example", id="a label of 64 octets"),
        pytest.param(f"{LONGEST}a", id="254 octets"),
    ],
)
def test_what_is_no_hostname_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a hostname such as"):
        read_name(name)


def test_a_domain_is_covered_with_all_that_is_one_label_below() -> None:
    assert names_of_domain("Example.com") == ("example.com", "*.example.com")


def test_a_domain_that_has_no_room_below_it_is_refused() -> None:
    assert len(names_of_domain(LONGEST[2:])[1]) == 253
    with pytest.raises(ValueError, match="is too long for names below it"):
        names_of_domain(LONGEST[1:])
