"""How weights are stored and multiplied: one name a choice, and the rules of `auto`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from odllm_export.errors import ExportError


@dataclass(frozen=True)
class Precision:
    """One way to store and multiply weights.

    Attributes:
        name: what the command line and the manifest call it.
        kind: `fp32`; `fp16` (stored in half precision, computed in single); `int8-dynamic` (weights with a scale a
            column, activations rounded with a scale a row at every call); `blocks` (MatMulNBits); `int8-qdq` (weights
            with a scale a column, activations with fixed ranges; form `steps` only).
        bits: of a stored weight.
        block: inputs that share a scale; 0 if a whole column does.
        accuracy_level: MatMulNBits' attribute: 4 rounds the activations to int8 a block, 1 keeps them float32.
        summary: one line for `--help` and reports.
        activation_bits: of activations with fixed ranges; 0 for any others.
    """

    name: str
    kind: Literal["fp32", "fp16", "int8-dynamic", "blocks", "int8-qdq"]
    bits: int
    block: int
    accuracy_level: int
    summary: str
    activation_bits: int = 0

    @property
    def exact(self) -> bool:
        """Whether the graph computes the model's own numbers, up to the order of float32 sums."""
        return self.kind == "fp32"


def _blocks(bits: int, block: int, accuracy_level: int) -> Precision:
    suffix = "" if accuracy_level == 4 else "-fp32"
    activations = "activations rounded to int8 a block" if accuracy_level == 4 else "activations float32"
    summary = f"{bits}-bit weights, a scale for {block} inputs; {activations}"
    return Precision(f"int{bits}-block{block}{suffix}", "blocks", bits, block, accuracy_level, summary)


_ALL = (
    Precision("fp32", "fp32", 32, 0, 0, "what was trained"),
    Precision("fp16", "fp16", 16, 0, 0, "half the file; computed in float32, so memory and time are fp32's"),
    Precision("int8-dynamic", "int8-dynamic", 8, 0, 0, "8-bit weights a column, 8-bit activations a row"),
    Precision("int8-qdq", "int8-qdq", 8, 0, 0, "8-bit weights a column, 8-bit activations of fixed ranges (steps)", 8),
    Precision(
        "int8-qdq16", "int8-qdq", 8, 0, 0, "8-bit weights a column, 16-bit activations of fixed ranges (steps)", 16
    ),
    *(_blocks(bits, block, level) for bits in (8, 4) for block in (32, 64, 128) for level in (4, 1)),
)

PRECISIONS: dict[str, Precision] = {precision.name: precision for precision in _ALL}
"""Every choice by name."""


def find_precision(name: str) -> Precision:
    """Return a precision by name.

    Raises:
        ExportError: there is none of that name.
    """
    if name not in PRECISIONS:
        raise ExportError(f"precision {name!r} is not one of {', '.join(PRECISIONS)}")
    return PRECISIONS[name]


@dataclass(frozen=True)
class DeviceProfile:
    """A kind of processor, the precision that `auto` takes for it, and why."""

    name: str
    precision: str
    reason: str


_INT8 = "has int8 dot products: int8 matrices are the fastest there, from a quarter of the memory"
_NO_INT8 = "has no int8 dot products: int8 products are emulated and no faster than float32 ones, which are exact"

DEVICE_PROFILES: dict[str, DeviceProfile] = {
    profile.name: profile
    for profile in (
        DeviceProfile(
            "arm-dotprod",
            "int8-dynamic",
            f"Armv8.2 with dotprod or i8mm (Cortex-A55, A75, later) {_INT8} (not measured)",
        ),
        DeviceProfile("arm-base", "fp32", f"Armv8.0 (Cortex-A53/A72/A73) {_NO_INT8}"),
        DeviceProfile("x86-vnni", "int8-dynamic", f"AVX-VNNI or AVX512-VNNI {_INT8} (measured: 2.5 times float32)"),
        DeviceProfile("x86-avx512", "fp32", f"AVX-512 without VNNI {_NO_INT8}"),
        DeviceProfile("x86-avx2", "fp32", f"AVX2 {_NO_INT8}"),
    )
}
"""What `--precision auto` knows, by name."""


def choose_precision(name: str, device_profile: str | None) -> tuple[Precision, str]:
    """Return a precision by name, or by the rules of `auto`, with the reason.

    Raises:
        ExportError: an unknown name, `auto` without a known device profile, or a profile without `auto`.
    """
    if name != "auto":
        if device_profile is not None:
            raise ExportError(f"a device profile decides only `--precision auto`, and the precision is {name!r}")
        return find_precision(name), "asked for"
    if device_profile not in DEVICE_PROFILES:
        raise ExportError(
            f"precision auto needs a device profile: {', '.join(DEVICE_PROFILES)}; found {device_profile!r}"
        )
    profile = DEVICE_PROFILES[device_profile]
    return find_precision(profile.precision), profile.reason
