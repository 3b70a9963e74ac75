"""Where the gate may connect to: which addresses and ports are dialled at all.

::

    rules = AddressRules(["10.0.0.0/8"])

    10.1.2.3                    dialled
    ::ffff:10.1.2.3             dialled: it is the same address
    192.0.2.1                   not dialled: in none of the networks
    64:ff9b::10.1.2.3           not dialled: it carries another address, and nobody named its network
    169.254.169.254             not dialled, inside the networks or not, unless it is named as meant
    0.0.0.0, multicast          never dialled

The tables are our own. What ``is_private`` and ``is_global`` say of wrapped addresses is wrong, and
changes with the Python patch.

Specification: RFC 4291, RFC 6890, RFC 6052 and RFC 8215 (NAT64), RFC 3056 (6to4), RFC 4380 (Teredo),
RFC 5214 (ISATAP), RFC 2765 (translated); WHATWG Fetch, "port blocking".
"""

from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network
from types import MappingProxyType

from tunnelgate.networks import Networks
from tunnelgate.reading.address import Address, Network, read_network
from tunnelgate.verdict import Allow, Deny, Reason, Verdict

RFC1918 = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
EVERY_ADDRESS = ("0.0.0.0/0", "::/0")

_NEVER = Networks(["0.0.0.0/8", "::", "224.0.0.0/4", "ff00::/8", "255.255.255.255"])
_LOOPBACK = Networks(["127.0.0.0/8", "::1"])

# Whoever reaches one of these speaks with the machine's cloud, which gives away its credentials.
_METADATA: Mapping[str, str] = {
    "169.254.0.0/16": "link-local, where metadata services are",  # RFC 3927; most clouds
    "fe80::/10": "link-local",  # RFC 4291 section 2.5.6; OpenStack's fe80::a9fe:a9fe
    "fec0::/10": "site-local, which is no longer in use",  # RFC 3879
    "240.0.0.0/4": "reserved",  # RFC 1112 section 4; Cloudflare's Pseudo IPv4
    # docs.aws.amazon.com, "IPv6 on AWS", "Supporting Amazon VPC services": ::254 metadata, ::23 EKS
    "fd00:ec2::/32": "one of Amazon's own services",
    "fd20:ce::254": "Google Cloud's metadata service",  # docs.cloud.google.com/compute/docs/metadata
    "168.63.129.16": "Azure's WireServer",  # learn.microsoft.com, "What is IP address 168.63.129.16?"
    "192.0.0.192": "Oracle Cloud's metadata service",  # docs.oracle.com, "Retrieve Predefined Metadata"
    "fd00:c1::a9fe:a9fe": "Oracle Cloud's metadata service",  # github.com/oracle/oci-python-sdk
    "100.100.100.200": "Alibaba Cloud's metadata service",  # docs.cloud-init.io, "AliYun"
    "fd00:100::100:200": "Alibaba Cloud's metadata service",  # github.com/canonical/cloud-init/pull/6893
    "fd00:42::42": "Scaleway's metadata service",  # docs.cloud-init.io, "Scaleway"
    "fd00:a9fe:a9fe::1": "Akamai's metadata service",  # docs.cloud-init.io, "Akamai"
}
_SPECIAL = tuple((ip_network(text), Networks([text]), what) for text, what in _METADATA.items())

_ENDS_WITH_IPV4 = tuple(
    map(
        IPv6Network,
        (
            "::/96",  # compatible, RFC 4291 section 2.5.5.1
            "::ffff:0:0:0/96",  # translated, RFC 2765 section 2.1
            "64:ff9b::/96",  # NAT64, RFC 6052 section 2.1
            "64:ff9b:1::/48",  # local NAT64, RFC 8215
        ),
    )
)
_ENDING = Networks(map(str, _ENDS_WITH_IPV4))
_NEITHER = IPv6Network("::/127")  # the unspecified and the loopback address carry nothing
_6TO4, _TEREDO = IPv6Network("2002::/16"), IPv6Network("2001::/32")
_ISATAP, _ISATAP_BITS = 0x00005EFE, 0xFDFFFFFF  # RFC 5214 section 6.1; the bit left out says "unique"
_CARRIER_PREFIX = 96  # where an IPv4 address ends an IPv6 address, this comes before it


class AddressRules:
    """Which addresses may be dialled.

    ``allowed`` are networks and addresses; ``None`` is every address but loopback. ``within`` narrows
    them further, as a route does. ``metadata`` names addresses of metadata services and link-local
    networks that are meant all the same, ``wrapped`` networks of addresses that carry IPv4 addresses;
    both must be inside ``allowed`` as well, and what is carried must be allowed by itself. ``wide``
    says that networks such as ``0.0.0.0/0`` are meant. ``setting`` is where the networks stand.
    Raises :class:`ValueError` with a sentence for what is no network or cannot be meant.
    """

    def __init__(
        self,
        allowed: Iterable[str] | None = RFC1918,
        *,
        within: Iterable[str] | None = None,
        metadata: Iterable[str] = (),
        wrapped: Iterable[str] = (),
        wide: bool = False,
        setting: str = "upstream.allowed_ips",
    ) -> None:
        self._setting = setting
        self._without_loopback = allowed is None
        self._allowed = _listed(EVERY_ADDRESS, wide=True) if allowed is None else _listed(allowed, wide=wide)
        self._within = self._allowed if within is None else _listed(within, wide=wide)
        self._metadata = _named(metadata, check_metadata)
        self._wrapped = _named(wrapped, check_wrapped)

    def decide(self, address: Address) -> Verdict:
        """Return whether ``address`` may be dialled."""
        objection = self._objection(address)
        return Allow() if objection is None else Deny(Reason.UPSTREAM_NOT_ALLOWED, objection)

    def _objection(self, address: Address) -> str | None:
        if isinstance(address, IPv6Address):
            if address.scope_id is not None:
                return f"{address} has a zone, which means something on one machine only"
            address = address.ipv4_mapped or address
        if address in _NEVER:
            return f"{address} is unspecified, multicast or broadcast, and never dialled"
        special = next((what for _, network, what in _SPECIAL if address in network), None)
        if special is not None and (self._metadata is None or address not in self._metadata):
            return f"{address} is {special}, and not named as meant"
        carried = carried_by(address)
        if carried and (self._wrapped is None or address not in self._wrapped):
            return f"{address} carries {carried[0]}, and its network is not in upstream.allow_wrapped"
        for each in carried:
            objection = self._objection(each)
            if objection is not None:
                return f"{address} carries an address: {objection}"
        if self._without_loopback and address in _LOOPBACK:
            return f"{address} is this machine itself, and not in {self._setting}"
        if address in self._allowed and address in self._within:
            return None
        setting = "the allowed_ips of the route" if address in self._allowed else self._setting
        return f"{address} is not in {setting}"


def carried_by(address: Address) -> tuple[IPv4Address, ...]:
    """Return the IPv4 addresses that ``address`` leads to behind a translator or a tunnel."""
    if isinstance(address, IPv4Address) or address in _NEITHER:
        return ()
    number = int(address)
    numbers: list[int] = []
    if address in _ENDING:
        numbers.append(number)
    if address in _6TO4:
        numbers.append(number >> 80)
    if address in _TEREDO:
        numbers += (number >> 64, ~number)  # its server, and its client, which is written inverted
    if number >> 32 & _ISATAP_BITS == _ISATAP:
        numbers.append(number)
    return tuple(IPv4Address(each & 0xFFFFFFFF) for each in numbers)


def check_metadata(text: str) -> None:
    """Check that ``text`` names what is dialled only where it is named.

    Raises :class:`ValueError` with the end of a sentence.
    """
    network = read_network(text)
    if network.network_address in _NEVER:
        raise ValueError("is never dialled, whoever names it")
    if not any(_is_inside(network, each) for each, _, _ in _SPECIAL):
        raise ValueError("is neither of a metadata service nor link-local, so it need not be named")


def check_wrapped(text: str) -> None:
    """Check that ``text`` is a network whose addresses carry IPv4 addresses at a known place.

    Raises :class:`ValueError` with the end of a sentence.
    """
    network = read_network(text)
    if not isinstance(network, IPv6Network) or network.subnet_of(_NEITHER):
        raise ValueError("does not carry IPv4 addresses")
    is_ending = any(map(network.subnet_of, _ENDS_WITH_IPV4)) or _is_isatap(network)
    if is_ending and network.prefixlen < _CARRIER_PREFIX:
        # RFC 6052 section 2.2 has five more places, and only the translator knows which.
        raise ValueError(f"is shorter than /{_CARRIER_PREFIX}; name the prefix of the translator itself")
    if not is_ending and not network.subnet_of(_6TO4) and not network.subnet_of(_TEREDO):
        raise ValueError("does not carry IPv4 addresses")


def _is_isatap(network: IPv6Network) -> bool:
    return int(network.network_address) >> 32 & _ISATAP_BITS == _ISATAP


def _is_inside(network: Network, other: Network) -> bool:
    return (
        network.version == other.version
        and network.network_address in other
        and network.broadcast_address in other
    )


def _listed(texts: Iterable[str], *, wide: bool) -> Networks:
    listed = tuple(texts)
    if not listed:
        raise ValueError("no network is listed, so no address could be dialled")
    return Networks(listed, wide=wide)


def _named(texts: Iterable[str], check: Callable[[str], None]) -> Networks | None:
    named = tuple(texts)
    for text in named:
        try:
            check(text)
        except ValueError as error:
            raise ValueError(f"{text!r} {error}") from None
    return Networks(named) if named else None


# https://fetch.spec.whatwg.org/#port-blocking, without 0
_BAD_PORTS = """
    1 tcpmux, 7 echo, 9 discard, 11 systat, 13 daytime, 15 netstat, 17 qotd, 19 chargen, 20 ftp-data,
    21 ftp, 22 ssh, 23 telnet, 25 smtp, 37 time, 42 name, 43 nicname, 53 domain, 69 tftp, 77 rje,
    79 finger, 87 link, 95 supdup, 101 hostname, 102 iso-tsap, 103 gppitnp, 104 acr-nema, 109 pop2,
    110 pop3, 111 sunrpc, 113 auth, 115 sftp, 117 uucp-path, 119 nntp, 123 ntp, 135 epmap, 137 netbios-ns,
    139 netbios-ssn, 143 imap, 161 snmp, 179 bgp, 389 ldap, 427 svrloc, 465 submissions, 512 exec,
    513 login, 514 shell, 515 printer, 526 tempo, 530 courier, 531 chat, 532 netnews, 540 uucp, 548 afp,
    554 rtsp, 556 remotefs, 563 nntps, 587 submission, 601 syslog-conn, 636 ldaps, 989 ftps-data, 990 ftps,
    993 imaps, 995 pop3s, 1719 h323gatestat, 1720 h323hostcall, 1723 pptp, 2049 nfs, 3659 apple-sasl,
    4045 npp, 4190 sieve, 5060 sip, 5061 sips, 6000 x11, 6566 sane-port, 6665 irc, 6666 irc, 6667 irc,
    6668 irc, 6669 irc, 6679 osaut, 6697 ircs-u, 10080 amanda
"""
# https://www.iana.org/assignments/service-names-port-numbers, and for 9092, 10250 and 10255 the manuals
# of Kafka and Kubernetes: what may take the lines of a request for commands, what speaks no HTTP, and
# what hands its machine to whoever reaches it.
_PORTS_OF_SERVICES = """
    445 microsoft-ds, 873 rsync, 1433 ms-sql-s, 1521 oracle, 1883 mqtt, 2181 zookeeper, 2375 docker,
    2376 docker-s, 2379 etcd-client, 2380 etcd-server, 3306 mysql, 3389 ms-wbt-server, 5432 postgresql,
    5671 amqps, 5672 amqp, 5900 rfb, 6379 redis, 8883 secure-mqtt, 9042 cassandra, 9092 kafka,
    10050 zabbix-agent, 10250 kubelet, 10255 kubelet, 11211 memcache, 27017 mongodb
"""
NEVER_DIALLED_PORTS: Mapping[int, str] = MappingProxyType(
    {
        int(port): service
        for table in (_BAD_PORTS, _PORTS_OF_SERVICES)
        for port, service in map(str.split, table.split(","))
    }
)
_MAX_PORT = 65535


def check_port(port: int) -> None:
    """Check that a request may be sent to ``port``; raises :class:`ValueError` with the end of a sentence."""
    if not 0 < port <= _MAX_PORT:
        raise ValueError(f"is not a port between 1 and {_MAX_PORT}")
    if port in NEVER_DIALLED_PORTS:
        raise ValueError(f"is the port of {NEVER_DIALLED_PORTS[port]}, which is never sent a request")
