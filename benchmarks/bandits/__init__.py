"""What the wing `bandits` must show: python -m benchmarks.bandits ROW."""
