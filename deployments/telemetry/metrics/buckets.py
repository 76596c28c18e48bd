"""Buckets of histograms: seconds, sizes and fractions."""

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SHORT_BUCKETS = (0.0001, 0.00025, 0.0005, *LATENCY_BUCKETS)
SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
ROLLOUT_BUCKETS = (5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)
FRACTION_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
