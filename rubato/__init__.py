"""Everything concrete: adapters, settings, wiring, the command line.

Nobody imports this package's wiring but its command line; `core` and the six rooms never import it at all.
"""
