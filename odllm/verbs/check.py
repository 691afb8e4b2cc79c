"""`odllm check`: is a bundle usable on a phone? Expectations from documentation, and memory estimated and measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from odllm.console import out, print_json, print_table
from odllm.options import Json

if TYPE_CHECKING:
    from mobile_bench.record import Memory
    from odllm_export.check import Check
    from odllm_export.expectation import Expectation, Refused
    from odllm_export.mobile_checker import MobileVerdict

_MIB = 2**20


def check(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder.")],
    run: Annotated[bool, typer.Option(help="Open and call the bundle in a process of its own, and measure it.")] = True,
    provider: Annotated[
        str | None, typer.Option(help="List every operator that this provider is not expected to take, and why.")
    ] = None,
    json: Json = False,
) -> None:
    """Say what each execution provider is expected to take of a bundle, and what memory it needs.

    Providers are judged by what is documented of them: an expectation. `odllm bench --provider` is the verdict.
    """
    import msgspec

    from mobile_bench.host import measure_memory
    from odllm_export.check import check_bundle
    from odllm_export.provider_ops import providers

    if provider is not None and provider not in providers():
        raise typer.BadParameter(f"--provider is {provider!r}, which is not one of {', '.join(providers())}")
    found = check_bundle(bundle)
    measured = measure_memory(bundle) if run else None
    if json:
        ratio = None if measured is None else found.expected_peak_memory_bytes / measured.peak_memory_bytes
        print_json(msgspec.to_builtins(found) | {"measured": msgspec.to_builtins(measured), "memory_ratio": ratio})
        return
    _print_expectations(found)
    for one in found.expectations:
        if one.provider == provider:
            _print_provider(one)
    _print_mobile_checker(found.mobile_checker)
    _print_memory(found, measured)


def _print_expectations(found: Check) -> None:
    print_table(
        f"What providers are expected to take of {found.bundle} ({found.precision})",
        ["provider", "nodes", "of the decoder", "matrix products", "mostly not taken"],
        [
            [
                one.title,
                f"{one.taken} of {one.nodes}",
                f"{one.decoder_taken} of {one.decoder_nodes}",
                f"{one.products_taken} of {one.products}",
                _main_refusal(one),
            ]
            for one in found.expectations
        ],
    )
    _line(found.basis)
    for one in found.expectations:
        _line("; ".join([f"- {one.title}: from {one.source}", *one.notes]))


def _main_refusal(one: Expectation) -> str:
    """Return the most frequent reason, with its number of nodes."""
    reasons: dict[str, int] = {}
    for refused in one.refused:
        for reason, count in refused.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + count
    if not reasons:
        return "–"
    reason = max(reasons, key=lambda key: reasons[key])
    return f"{reason} ({reasons[reason]})"


def _print_provider(one: Expectation) -> None:
    print_table(f"Not expected on {one.title}", ["operator", "nodes", "why"], [_refused(each) for each in one.refused])
    for caveat in one.caveats:
        _line(f"- a condition that was not checked: {caveat}")


def _refused(one: Refused) -> list[str]:
    why = "; ".join(f"{reason} ({count})" for reason, count in one.reasons.items())
    return [one.operator, str(sum(one.reasons.values())), why]


def _print_mobile_checker(verdict: MobileVerdict) -> None:
    if verdict.failure is not None:
        _line(f"ONNX Runtime's mobile usability checker could not read the graph: {verdict.failure}")
    else:
        says = ", ".join(f"{name}: {answer}" for name, answer in verdict.verdicts.items())
        _line(f"ONNX Runtime's mobile usability checker: {says}")
    for limit in verdict.limits:
        _line(f"- {limit}")


def _print_memory(found: Check, measured: Memory | None) -> None:
    parts = found.memory
    rows = [[name.replace("_", " "), _mib(getattr(parts, name)), ""] for name in parts.__struct_fields__]
    rows += [["peak while loading", _mib(found.load_bytes), ""], ["peak while running", _mib(found.run_bytes), ""]]
    if measured is None:
        rows.append(["peak", _mib(found.expected_peak_memory_bytes), "not run"])
    else:
        rows.append(["peak", _mib(found.expected_peak_memory_bytes), _mib(measured.peak_memory_bytes)])
        rows.append(["  its own memory", "", _mib(measured.anonymous_peak_bytes)])
        rows.append(["  pages of files", "", _mib(measured.file_backed_peak_bytes)])
    print_table("Memory, MiB", ["", "estimated", "measured"], rows)
    if measured is not None:
        ratio = found.expected_peak_memory_bytes / measured.peak_memory_bytes
        _line(f"estimated ÷ measured: {ratio:.2f} ({measured.calls} calls, one thread, CPU, in a process of its own)")


def _mib(size: int | None) -> str:
    return "–" if size is None else f"{size / _MIB:.1f}"


def _line(text: str) -> None:
    out.print(text, highlight=False, soft_wrap=True, markup=False)
