"""The real use cases on the memory store, under a loop whose time is virtual, whose order of events is drawn by lot,
and whose every run can be repeated from its seed. See docs/reliability.md."""
