"""Cases: single decisions, each a context and what a sound decision there must satisfy. `cases.yaml` holds them."""
