"""The REST API and the page. Imports core only; the wiring hands it everything concrete. FastAPI lives here and nowhere
else."""
