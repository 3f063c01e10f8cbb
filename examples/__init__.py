"""Small programs to start from; each runs as `python -m examples.NAME`."""
