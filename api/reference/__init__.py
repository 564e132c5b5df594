"""The API described for people, in Swagger UI from vendored files, and for language models."""
