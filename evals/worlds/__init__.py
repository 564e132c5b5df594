"""Worlds: targets that change by known laws. `world.py` says what a world is, `catalogue.py` reads `worlds.yaml`."""
