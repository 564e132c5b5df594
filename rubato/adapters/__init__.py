"""The ports of `core.ports` made real, one package or module a technology.

They import `core` and nothing above; only `rubato.wiring` and tests import them.
"""
