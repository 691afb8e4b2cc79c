"""What our models are held against, run here and not quoted: one module a baseline (docs/baselines.md)."""
