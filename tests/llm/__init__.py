"""Whole sessions with a model: `make check-llm` asks a real one, the suite replays what is kept in `sessions/`."""
