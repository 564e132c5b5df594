"""Services with one start/stop life: the run loop, the plan loop, maintenance, and the supervisor over them. Imports
core only; the wiring hands it everything concrete."""
