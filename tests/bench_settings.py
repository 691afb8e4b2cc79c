"""Settings of benchmarks that need not be good."""

from mobile_bench.protocol import Settings

QUICK = Settings(
    min_seconds=0,
    min_calls=6,
    min_rounds=3,
    warm_loads=1,
    memory_calls=2,
    phase_calls=3,
    warm_up_calls=1,
    energy_seconds=0,
)
"""The least that passes and rounds can do."""
