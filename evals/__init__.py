"""Offline evaluation of planner decisions: worlds, policies, bounds, scores, cases, replay and the report.

`engine` plays a job through a world with the real use cases, governor, tools and memory store on a virtual clock.
May import anything; only the command line, lazily, imports it.
"""
