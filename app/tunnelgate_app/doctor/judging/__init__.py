"""From what came back to findings: pure functions, one module for each layer."""
