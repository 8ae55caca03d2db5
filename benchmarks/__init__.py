"""Benchmarks: measured, never timed tests. Each is run with ``python -m benchmarks.NAME``."""
