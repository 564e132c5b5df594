"""The committed OpenAPI document: `make openapi` writes it, unless that would break clients."""
