"""One module a screen, each with a `router`: what it reads, and which template shows it."""
