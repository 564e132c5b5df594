"""Pure functions from entities to what a template writes: no request, no store, no clock."""
