"""One file for each form, run in the order of their numbers."""
