"""The pages in a real browser, over a service whose clock stands still."""
