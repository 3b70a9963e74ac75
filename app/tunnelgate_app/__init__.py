"""The gateway: the `tunnelgate` command, its listeners, and what the demo embeds."""
