"""A set of networks that answers ``address in networks`` in the same time for one and for a thousand."""

from bisect import bisect_right
from collections.abc import Iterable

from tunnelgate.reading.address import Address, WideNetwork, read_network


class Networks:
    """An immutable set of IPv4 and IPv6 networks.

    ``networks`` are texts such as ``10.0.0.0/8``, ``::1`` or ``192.0.2.7``. ``wide`` says that
    networks such as ``0.0.0.0/0`` are meant; ``word`` is what their author would say it with.
    Raises :class:`ValueError` with a sentence for the first that is not a network or is wide, and for
    none at all: an empty allowlist allows nobody and is a mistake.
    """

    def __init__(
        self, networks: Iterable[str], *, wide: bool = False, word: str = "allow_wide_networks"
    ) -> None:
        spans: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
        for text in networks:
            try:
                network = read_network(text, wide=wide)
            except WideNetwork as error:
                raise ValueError(f"{text!r} {error}, or set {word}") from None
            except ValueError as error:
                raise ValueError(f"{text!r} {error}") from None
            spans[network.version].append((int(network.network_address), int(network.broadcast_address)))
        if not spans[4] and not spans[6]:
            raise ValueError("no network is listed, so every client would be refused")
        self._ranges = {version: _merge(of_version) for version, of_version in spans.items()}

    def __contains__(self, address: Address) -> bool:
        firsts, lasts = self._ranges[address.version]
        number = int(address)
        position = bisect_right(firsts, number) - 1
        return position >= 0 and number <= lasts[position]


def _merge(spans: list[tuple[int, int]]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    firsts: list[int] = []
    lasts: list[int] = []
    for first, last in sorted(spans):
        if lasts and first <= lasts[-1] + 1:
            lasts[-1] = max(lasts[-1], last)
        else:
            firsts.append(first)
            lasts.append(last)
    return tuple(firsts), tuple(lasts)
