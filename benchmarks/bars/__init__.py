"""One file a bar of the table, or a few that come out of the same runs."""
