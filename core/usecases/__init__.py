"""The verbs of the system, each a pure transition plus the few lines that carry it through the ports."""
