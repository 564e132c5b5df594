"""Traces of runs and planner sessions for OpenTelemetry. The wiring puts these around the store, the dispatcher and the
planner when tracing is switched on; when it is off, none of this is imported and nothing is asked at a run."""
