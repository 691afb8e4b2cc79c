"""How far a row is from what the machine could do at most: its roofline (Williams, Waterman, Patterson 2009).

A call's products, at the rate of large matrix products, and its bytes, at the rate of reading memory, both measured in
the same rounds, each give a time; it cannot take less than the longer of the two. Their quotient with the measured
processor time is the share of the limit. It says how well a row does what its algorithm runs, not how good the
algorithm is: work that need not be done counts as work.
"""

from __future__ import annotations

import msgspec

from mobile_bench.baselines.flops import Work


class Peaks(msgspec.Struct, frozen=True):
    """What one thread of the machine reaches, by processor time.

    Attributes:
        float_gflops: operations a second of large float32 products, in 10⁹.
        integer_gops: of 8-bit integers.
        memory_gb: bytes a second read from memory, in 10⁹.
    """

    float_gflops: float
    integer_gops: float
    memory_gb: float


class Roofline(msgspec.Struct, frozen=True):
    """A row beside the machine's limits.

    Attributes:
        gflop: operations of a call, in 10⁹; integer ones included.
        weight_mb: bytes of weights that a call moves, in 10⁶.
        cache_mb: of keys and values.
        gflops: 10⁹ operations a second of processor time.
        gb_per_s: 10⁹ bytes a second of it.
        products_ms: the least that the operations take.
        memory_ms: the least that the bytes take.
        limit: the longer of the two: `float32`, `int8` or `memory`.
        share: of the limit: its time ÷ the measured one.
    """

    gflop: float
    weight_mb: float
    cache_mb: float
    gflops: float
    gb_per_s: float
    products_ms: float
    memory_ms: float
    limit: str
    share: float


def rate(work: Work, cpu_ms: float) -> tuple[float, float]:
    """Return 10⁹ operations and 10⁹ bytes a second of processor time."""
    return (work.products + work.attention) / cpu_ms / 1e6, (work.weight_bytes + work.cache_bytes) / cpu_ms / 1e6


def roofline(work: Work, cpu_ms: float, peaks: Peaks) -> Roofline:
    """Return how far a row is from the machine's limits.

    Attention is computed in single precision whatever the weights are.

    Args:
        work: of a call.
        cpu_ms: processor time of it.
        peaks: of the machine, in the same run.
    """
    peak = peaks.integer_gops if work.integer else peaks.float_gflops
    products_ms = (work.products / peak + work.attention / peaks.float_gflops) / 1e6
    memory_ms = (work.weight_bytes + work.cache_bytes) / peaks.memory_gb / 1e6
    gflops, gb_per_s = rate(work, cpu_ms)
    return Roofline(
        gflop=(work.products + work.attention) / 1e9,
        weight_mb=work.weight_bytes / 1e6,
        cache_mb=work.cache_bytes / 1e6,
        gflops=gflops,
        gb_per_s=gb_per_s,
        products_ms=products_ms,
        memory_ms=memory_ms,
        limit="memory" if memory_ms > products_ms else "int8" if work.integer else "float32",
        share=max(products_ms, memory_ms) / cpu_ms,
    )
