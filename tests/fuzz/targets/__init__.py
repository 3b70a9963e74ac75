"""One module for each reader; `tests.fuzz.target` says what each has."""
