"""The migrations of the index."""
