"""The pages that people look at. They answer from the use cases and ports of the REST API: there is no second truth.

`screens/` holds one module a screen: its routes, and what it gathers. `drawing/` holds pure functions from entities to
what a template writes. `shell` renders, `access` says who looks, `installing` puts all of it into the app.
"""
