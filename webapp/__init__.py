"""FastAPI server: ships the site and the models, nothing else. No upload route exists."""
