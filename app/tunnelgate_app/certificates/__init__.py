"""The certificates of the gate's end of a tunnel: their rules, how they are made, and when they end."""
