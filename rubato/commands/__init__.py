"""The command line's verbs that speak to a service over its REST API, a noun a file. Only `rubato.cli` imports this.

`connection` opens the client and turns what goes wrong into a message and an exit code; `output` writes answers as a
table, JSON or YAML; `values` reads durations, instants and pairs. docs/cli.md is the user's page.
"""
