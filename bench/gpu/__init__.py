"""`make gpu-report`: what a machine's GPU does with the networks, in one Markdown and one JSON file."""
