"""FastAPI server of the site and its models. No route accepts data."""
