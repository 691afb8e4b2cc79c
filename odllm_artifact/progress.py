"""How a long-running function says how far it is, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called as work proceeds; the command line turns it into a bar with an estimate."""

    def __call__(self, done: float, total: float, note: str = "") -> None:
        """Report that `done` of `total` units are finished; `note` is a short remark such as a loss."""


def silent(done: float, total: float, note: str = "") -> None:
    """Ignore every report: the default where nobody listens."""
