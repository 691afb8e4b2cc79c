"""Which execution provider really ran which nodes, from the runtime's own profile.

A provider's name in the session's list proves nothing: the runtime gives every node that a provider does not
take to the CPU, in silence. Only nodes that ran under a provider's name count.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import msgspec

from mobile_bench.errors import PlacementError

PRODUCTS = frozenset(
    {
        *("Attention", "FusedGemm", "FusedMatMul", "FusedMatMulActivation", "Gemm", "GroupQueryAttention", "MatMul"),
        *("DynamicQuantizeMatMul", "MatMulInteger", "MatMulIntegerToFloat", "MatMulNBits", "MultiHeadAttention"),
        *("QGemm", "QLinearMatMul"),
    }
)
"""Operators in which a decoder's time goes: a provider that took others only has not run the model."""

CPU = "CPUExecutionProvider"


class Placement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the nodes of a graph ran.

    Attributes:
        nodes: distinct nodes by the runtime's name of the provider. Some providers compile many nodes into one.
        products: matrix products and attentions of the graph, as many as the CPU runs of it alone.
        products_on_cpu: how many of them the CPU ran.
    """

    nodes: dict[str, int]
    products: int
    products_on_cpu: int

    @property
    def products_taken(self) -> int:
        """How many of them another provider ran."""
        return max(self.products - self.products_on_cpu, 0)


Node = tuple[str, str, str]
"""Name, operator, and the runtime's name of the provider that ran it."""


def read_profile(profile: Path) -> set[Node]:
    """Return the distinct nodes that ran, from the runtime's profile.

    Raises:
        PlacementError: the profile is missing or damaged, or names no node at all.
    """
    try:
        events = json.loads(profile.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PlacementError(f"the runtime's profile {profile} cannot be read: {error}") from error
    nodes = {
        (event["name"], arguments.get("op_name", ""), arguments["provider"])
        for event in events
        if event.get("cat") == "Node" and (arguments := event.get("args", {})).get("provider")
    }
    if not nodes:
        raise PlacementError(f"the runtime's profile {profile} names no node: nothing is known to have run")
    return nodes


def make_placement(nodes: Collection[Node], alone: Collection[Node]) -> Placement:
    """Return where nodes ran.

    Args:
        nodes: with the provider.
        alone: of the same graph without it.
    """
    by_provider = Counter(provider for *_, provider in nodes)
    return Placement(dict(sorted(by_provider.items())), _cpu_products(alone), _cpu_products(nodes))


def check_placement(placed: Placement, provider: str, runtime_name: str) -> None:
    """Refuse a measurement that is another provider's: in whose profile the one asked for took nothing that counts.

    Raises:
        PlacementError: no node ran on `runtime_name`, or none of the matrix products.
    """
    took = placed.nodes.get(runtime_name, 0)
    if took and (runtime_name == CPU or placed.products_taken or not placed.products):
        return
    others = ", ".join(f"{count} on {name}" for name, count in placed.nodes.items())
    what = f"{took} node{'s' * (took > 1)} but none of the {placed.products} matrix products" if took else "no node"
    raise PlacementError(
        f"provider {provider!r} ({runtime_name}) took {what} of the graph ({others}). "
        "A time measured like this would be another provider's; ask for that one instead."
    )


def _cpu_products(nodes: Collection[Node]) -> int:
    return sum(operator in PRODUCTS for _, operator, provider in nodes if provider == CPU)
