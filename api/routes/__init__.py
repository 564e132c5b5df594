"""The routes, one resource a file. A route reads the request, calls one use case or the
store, and writes the answer."""
