"""Measurements of Headrace, as ratios side by side: ``python -m benchmarks --help``; the method is in ``README.md``."""
