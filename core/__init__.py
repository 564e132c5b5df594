"""The pure heart: entities, governor, hints, use cases and the ports they are written against.

Standard library only; no I/O, no clock, no randomness. Everybody may import it; it imports nobody.
"""
