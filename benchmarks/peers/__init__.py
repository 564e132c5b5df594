"""Other schedulers doing the same work: claim a due job, one GET, record the result, set the next due time."""
