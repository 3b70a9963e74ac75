"""What is outside of the gate: the edge, the API and the connector."""

import asyncio

from tunnelgate_app.doctor.findings import Finding, Findings, Layer
from tunnelgate_app.doctor.judging.connector import findings_of_connector
from tunnelgate_app.doctor.judging.edge import finding_of_api, findings_of_edge
from tunnelgate_app.doctor.options import Options, Surroundings
from tunnelgate_app.doctor.trying.connector import ask_connector
from tunnelgate_app.doctor.trying.edge import EdgeTrial


async def examine_edge(options: Options, surroundings: Surroundings) -> list[Finding]:
    """Return whether this machine reaches the edge and the API."""
    if options.is_offline:
        found = "left out, because of --offline"
        return [Findings(Layer.EDGE).skipped("reach the edge and the API", found)]
    trial = EdgeTrial(
        resolve=surroundings.resolve,
        octets=surroundings.octets,
        authorities=surroundings.authorities,
        seconds=options.seconds,
    )
    regions, api = await asyncio.gather(trial.try_regions(options.regions), trial.try_api(options.api))
    return [*findings_of_edge(regions), finding_of_api(api)]


async def examine_connector(options: Options) -> list[Finding]:
    """Return how the connector is."""
    return list(findings_of_connector(await ask_connector(options.connector, options.seconds)))
