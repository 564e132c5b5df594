"""The page that people look at: jobs, their tempo between its bounds, and why they run next. Server-rendered; one small
script keeps it fresh."""
