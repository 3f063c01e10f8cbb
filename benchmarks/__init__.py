"""Measurements, never tests: each `python -m benchmarks.NAME --json FILE` writes its figures with machine, versions and date."""
