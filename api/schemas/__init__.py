"""The shapes of requests and answers, one resource a file, named like its routes."""
