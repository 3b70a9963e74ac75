"""What the fictional shop built: versions of its services, with what changed in them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tunnelgate_servers.deploy_status.seed_texts import WORK, ServiceProfile

_REGISTRY = "registry.example.com/shop"


@dataclass(frozen=True, slots=True)
class Build:
    """What was built once and goes from one environment to the next."""

    service: str
    version: str
    image: str
    commit: str
    summary: str
    tickets: tuple[str, ...]


def some_work(service: ServiceProfile, random: Random) -> list[str]:
    """Return one to three changes of the kind that a service has."""
    return random.sample(WORK[service.area], random.choice((1, 1, 2, 3)))


def new_build(service: ServiceProfile, version: str, changes: Sequence[str], random: Random) -> Build:
    """Return a version with these changes, whose image and commit nobody else has."""
    tickets = tuple(f"{service.team.upper()}-{random.randint(1000, 9999)}" for _ in changes)
    summary = "\n".join(f"{change} ({ticket})" for change, ticket in zip(changes, tickets, strict=True))
    content = digest("image", service.name, version, random.random())
    commit = hashlib.sha1(f"{service.name} {version} {content}".encode(), usedforsecurity=False).hexdigest()
    image = f"{_REGISTRY}/{service.name}:{version}@sha256:{content}"
    return Build(service.name, version, image, commit, summary, tickets)


def digest(*parts: object) -> str:
    """Return a SHA-256 digest in hexadecimal digits."""
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()
