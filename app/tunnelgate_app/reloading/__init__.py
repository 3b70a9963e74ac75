"""Takes up a changed configuration while the gate runs: whole, or not at all."""
