"""What every verb prints with: progress with an estimate, tables, JSON for machines."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from odllm_artifact import Progress

out = Console()
"""Results, on standard output."""

err = Console(stderr=True)
"""Progress and messages, on standard error, so that `--json` stays clean."""


def say(text: str) -> None:
    """Print a line of progress or explanation on standard error; in a log it stays one line, whatever its length."""
    err.print(text, highlight=False, markup=False, soft_wrap=not err.is_terminal)


def print_json(value: Any) -> None:
    """Print `value` as JSON on standard output, for machines."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a small table on standard output; the first column is left-aligned, the others right."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for i, column in enumerate(header):
        table.add_column(column, justify="left" if i == 0 else "right", no_wrap=i == 0)
    for row in rows:
        table.add_row(*map(escape, row))
    out.print(table)


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """Show a bar with an estimate on a terminal, and a plain line every ten seconds elsewhere."""
    if err.is_terminal:
        with _terminal_bar(title) as report:
            yield report
    else:
        yield _PlainProgress(title)


@contextmanager
def _terminal_bar(title: str) -> Iterator[Progress]:
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bar(*columns, console=err) as bar:
        task = bar.add_task(title, total=None, note="")

        def report(done: float, total: float, note: str = "") -> None:
            bar.update(task, completed=done, total=total, note=note)

        yield report


class _PlainProgress:
    """Progress for logs: the first report, then at most one line every ten seconds, then the last."""

    def __init__(self, title: str, every_s: float = 10.0) -> None:
        self.title = title
        self.every_s = every_s
        self.started = time.monotonic()
        self.printed = -every_s
        self.first: tuple[float, float] | None = None
        """Seconds and what was done at the first report: a run that goes on does not begin at nothing."""

    def __call__(self, done: float, total: float, note: str = "") -> None:
        elapsed = time.monotonic() - self.started
        self.first = self.first or (elapsed, done)
        if done < total and elapsed - self.printed < self.every_s:
            return
        self.printed = elapsed
        before, begun = self.first
        rate = (done - begun) / (elapsed - before) if elapsed > before else 0.0
        left = f", about {(total - done) / rate:.0f} s left" if rate > 0 and done < total else ""
        say(f"{self.title}: {100 * done / max(total, 1e-9):.0f} % after {elapsed:.0f} s{left} {note}".rstrip())
