"""The planner port on pydantic-ai: an agent over any OpenAI-compatible server, and the offline policy, which goes down
the very same path of tools. Imports tools and core; the wiring imports it."""
