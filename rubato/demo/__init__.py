"""The demo that `rubato dev` shows: a small target whose day passes in five minutes, and three jobs that watch it."""
