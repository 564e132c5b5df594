"""Offline evaluation of planner decisions. May import anything; only the command line, lazily, imports it."""
