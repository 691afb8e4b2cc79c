"""A dry run of a fine-tuning in words and numbers."""

from __future__ import annotations

import msgspec

from lcrec.finetune.dry_run import DryRun, dry_run
from lcrec.finetune.job import Job
from lcrec.finetune.memory import Memory
from odllm.console import out, print_json, print_table


def show_dry_run(
    job: Job, tokens_per_second: float | None, *, measure: bool, peak_tflops: float | None, as_json: bool
) -> None:
    """Find out what a fine-tuning will take, and print it; of several processes the first one does."""
    found = dry_run(job, tokens_per_second=tokens_per_second, measure=measure, peak_tflops=peak_tflops)
    if found.process:
        return
    if as_json:
        print_json(msgspec.to_builtins(found))
        return
    _print_samples(found)
    _print_memory(found, checkpointing=job.config.gradient_checkpointing)
    _print_run(found)
    for task, text in found.previews.items():
        out.print(f"{task}: {text}", markup=False, highlight=False, soft_wrap=True)


def _print_samples(found: DryRun) -> None:
    rows = [
        [task, f"{count.samples:,}", f"{count.tokens:,}", f"{count.learned_tokens:,}"]
        for task, count in found.tasks.items()
    ]
    print_table("an epoch", ("task", "samples", "tokens", "with loss"), rows)


def _print_memory(found: DryRun, *, checkpointing: bool) -> None:
    other = f"{'without' if checkpointing else 'with'} checkpointing"
    rows = [
        [name, _gigabytes(getattr(found.memory, name)), _gigabytes(getattr(found.other_memory, name))]
        for name in (*Memory.__struct_fields__, "total")
    ]
    print_table("memory of a device, GB", ("part", "this recipe", other), rows)


def _print_run(found: DryRun) -> None:
    share = 100 * found.learned_parameters / found.parameters
    rows = [
        ["parameters", f"{found.parameters:,}"],
        ["that learn", f"{found.learned_parameters:,} ({share:.2f} %)"],
        ["padding", f"{100 * found.padding:.1f} %"],
        ["steps an epoch", f"{found.steps_an_epoch:,}"],
        ["steps", f"{found.steps:,}"],
        ["samples a step", f"{found.samples_a_step:.1f}"],
        ["devices", f"{found.devices}, idle {100 * found.idle:.1f} % of their turns"],
        ["disk, GB", _gigabytes(found.disk_bytes)],
    ]
    if found.tokens_per_second is not None and found.seconds is not None:
        kind = "measured" if found.measured else "assumed"
        rows += [["tokens/s", f"{found.tokens_per_second:,.0f} ({kind})"], ["hours", f"{found.seconds / 3600:.2f}"]]
    if found.peak_share is not None:
        rows.append(["share of peak FLOPs", f"{100 * found.peak_share:.1f} %"])
    print_table("the run", ("", ""), rows)


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.2f}"
