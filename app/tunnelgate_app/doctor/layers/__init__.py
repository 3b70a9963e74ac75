"""The layers: each tries what there is to try, and returns its findings."""
