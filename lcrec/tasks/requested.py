"""The tasks with a request and a response: a source of samples, and templates of which each sample draws one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lcrec.errors import TaskError
from lcrec.tasks.encoding import EncodedSample
from lcrec.tasks.plan import turns
from lcrec.tasks.request_ids import ReadRequest
from lcrec.tasks.sources import Source


class RequestedTask:
    """One of the tasks with a request."""

    def __init__(self, name: str, source: Source, templates: Sequence[ReadRequest]) -> None:
        """Join source and templates.

        Raises:
            TaskError: there is no template, or none that any sample can fill.
        """
        self.name = name
        self.source = source
        self.templates = tuple(templates)
        all_samples = source.draw(np.arange(source.size), np.random.default_rng(0))
        if not self._fits(all_samples).any():
            raise TaskError(
                f"no template of {name} can be filled: each asks for what the dataset lacks, such as descriptions"
            )

    def plan(self, weight: float, random: np.random.Generator) -> RequestedPlan:
        """Draw samples, what is left to chance in them, and templates that they can fill; others are left out."""
        drawn = self.source.draw(turns(self.source.size, weight, random), random)
        fits = self._fits(drawn)
        # The highest of as many random numbers as there are templates: each that fits is as likely as any other.
        chosen = np.where(fits, random.random(fits.shape), -1.0).argmax(axis=1)
        can = fits.any(axis=1)
        return RequestedPlan(self, drawn[can], chosen[can])

    def _fits(self, drawn: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which templates a sample can fill, bool `[samples, templates]`."""
        has = self.source.has(drawn)
        fits = np.ones((len(drawn), len(self.templates)), dtype=bool)
        for column, template in enumerate(self.templates):
            for slot in template.slots:
                fits[:, column] &= has[slot]
        return fits


@dataclass(frozen=True, eq=False)
class RequestedPlan:
    """Samples and templates of an epoch."""

    task: RequestedTask
    drawn: NDArray[np.int64]
    templates: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.drawn)

    def encode(self, place: int) -> EncodedSample:
        """Return a sample."""
        task, drawn = self.task, self.drawn[place]
        return task.templates[self.templates[place]].encode(task.name, lambda slot: task.source.fill(slot, drawn))

    def lengths(self) -> NDArray[np.int64]:
        """Return the tokens of every sample; each is put together once and forgotten."""
        return np.array([len(self.encode(place).ids) for place in range(len(self))], dtype=np.int64)
