"""What a model may call: reading one job's past, and staging proposals about its tempo. Knows no LLM library; writes
nothing. Core is all it imports; the planner imports it."""
