"""Measurements, never tests: `python -m benchmarks.NAME --json FILE` writes figures, machine, versions and date."""
