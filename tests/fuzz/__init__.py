"""Fuzzing: one target for each reader, run by `scripts/fuzz` and, over its seeds, by every `make test`."""
