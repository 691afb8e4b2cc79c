"""A chain of stages that is done once: each remembers what it was made from, and runs again only if that changed."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from odllm.console import say
from odllm_artifact import read_json, sha256_file, write_json


@dataclass(frozen=True)
class Stage:
    """One step of a chain.

    Attributes:
        name: short, unique.
        title: what is printed while it runs.
        run: does the work.
        output: the file or folder that proves it is done.
        inputs: files it reads; a changed file makes it run again.
        settings: what else decides its result.
    """

    name: str
    title: str
    run: Callable[[], None]
    output: Path
    inputs: Sequence[Path] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Return a hash of the settings and of the content of all inputs."""
        digest = hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode())
        for path in self.inputs:
            digest.update(f"{path.name} {sha256_file(path) if path.is_file() else 'absent'}\n".encode())
        return digest.hexdigest()


def run_stages(stages: Sequence[Stage], record: Path) -> float:
    """Run what is not done yet, in order; return the seconds that all stages took, earlier runs included.

    Args:
        stages: in the order in which they depend on each other.
        record: JSON file in which finished stages and their seconds are remembered.
    """
    done: dict[str, Any] = read_json(record) if record.is_file() else {}
    for number, stage in enumerate(stages, start=1):
        fingerprint = stage.fingerprint()
        label = f"[{number}/{len(stages)}] {stage.title}"
        entry = done.get(stage.name, {})
        if entry.get("fingerprint") == fingerprint and stage.output.exists():
            say(f"{label}: done before, in {entry['seconds']:.0f} s")
            continue
        say(label)
        started = time.monotonic()
        stage.run()
        done[stage.name] = {"fingerprint": fingerprint, "seconds": time.monotonic() - started}
        write_json(record, done)
    return sum(done[stage.name]["seconds"] for stage in stages)
