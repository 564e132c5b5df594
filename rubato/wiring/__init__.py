"""Composition: the only place that knows every adapter. Only the command line and its errands import it.

A module a process, and nothing here: `rubato worker` does not wait for the API's libraries to be imported.
"""
