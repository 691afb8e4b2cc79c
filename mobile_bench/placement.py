"""Which execution provider really ran which nodes, from the runtime's own profile.

A provider's name in the session's list proves nothing: the runtime gives every node that a provider does not
take to the CPU, in silence. Only nodes that ran under a provider's name count.
"""

from __future__ import annotations

import json
from collections import Counter
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


class Placement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the nodes of a graph ran.

    Attributes:
        nodes: distinct nodes by the runtime's name of the provider.
        products: the matrix products and attentions among them. A provider that compiles many nodes into one has none
            here; what it took is what the CPU lacks.
    """

    nodes: dict[str, int]
    products: dict[str, int]


def read_placement(profile: Path) -> Placement:
    """Return which provider ran how many distinct nodes, from the runtime's profile.

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
    return Placement(
        nodes=dict(Counter(provider for _, _, provider in sorted(nodes))),
        products=dict(Counter(provider for _, operator, provider in sorted(nodes) if operator in PRODUCTS)),
    )


def check_placement(placed: Placement, provider: str, runtime_name: str) -> None:
    """Refuse a measurement in whose profile the provider that was asked for took nothing.

    Raises:
        PlacementError: no node ran on `runtime_name`.
    """
    if placed.nodes.get(runtime_name, 0) == 0:
        others = ", ".join(f"{count} on {name}" for name, count in placed.nodes.items())
        raise PlacementError(
            f"provider {provider!r} ({runtime_name}) took no node of the graph ({others}). "
            "A time measured like this would be another provider's; ask for that one instead."
        )
