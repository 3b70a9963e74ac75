"""What callers write down to reach a route: the settings of the API, of agents and of common clients."""
