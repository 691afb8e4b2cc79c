"""Which execution provider really ran which nodes, from the runtime's own profile.

A provider's name in the session's list proves nothing: the runtime gives every node that a provider does not
take to the CPU, in silence. Only nodes that ran under a provider's name count.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from mobile_bench.errors import PlacementError


def nodes_per_provider(profile: Path) -> dict[str, int]:
    """Return how many distinct nodes each provider ran, by the runtime's name of the provider.

    Raises:
        PlacementError: the profile is missing or damaged, or names no node at all.
    """
    try:
        events = json.loads(profile.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PlacementError(f"the runtime's profile {profile} cannot be read: {error}") from error
    nodes = {
        (event["name"], arguments.get("op_name"), arguments["provider"])
        for event in events
        if event.get("cat") == "Node" and (arguments := event.get("args", {})).get("provider")
    }
    if not nodes:
        raise PlacementError(f"the runtime's profile {profile} names no node: nothing is known to have run")
    return dict(Counter(provider for _, _, provider in sorted(nodes)))


def check_placement(placed: dict[str, int], provider: str, runtime_name: str) -> None:
    """Refuse a measurement in whose profile the provider that was asked for took nothing.

    Raises:
        PlacementError: no node ran on `runtime_name`.
    """
    if placed.get(runtime_name, 0) == 0:
        others = ", ".join(f"{count} on {name}" for name, count in placed.items())
        raise PlacementError(
            f"provider {provider!r} ({runtime_name}) took no node of the graph ({others}). "
            "A time measured like this would be another provider's; ask for that one instead."
        )
