"""Ratios against peers, measured in turns. `python -m benchmarks [NAME ...]`."""
