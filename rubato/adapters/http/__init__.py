"""Sending requests to strangers: the dispatcher, and the guard that decides which addresses may be dialled.

The only place that imports an HTTP client."""
