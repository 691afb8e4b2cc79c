"""`odllm phone`: measure bundles on phones over adb."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from odllm.console import out, print_json, print_table, progress_bar, say
from odllm.options import Json
from odllm.verbs.bench import listed, parse_threads, report

app = typer.Typer(no_args_is_help=True)

_FAILED = 4
_NO_PHONE = "no phone is attached: plug one in, allow USB debugging in its developer options, and unlock it"
_MIB = 2**20
_SIGNS = {"ok": "✓", "note": "!", "wrong": "✗"}
Serial = Annotated[str | None, typer.Option(help="Serials with commas between them, or all; the only phone by itself.")]


@app.command("list")
def list_attached(json: Json = False) -> None:
    """List the phones that adb sees."""
    import msgspec

    from mobile_bench.phone.adb import Adb
    from mobile_bench.phone.phones import list_phones

    phones = list_phones(Adb.find())
    if json:
        print_json([msgspec.to_builtins(phone) for phone in phones])
        return
    if not phones:
        say(_NO_PHONE)
        return
    rows = [
        [phone.serial, phone.state, phone.model or "–", phone.os or "–", phone.abi or "–", _mebibytes(phone.free_bytes)]
        for phone in phones
    ]
    print_table("Phones", ["serial", "state", "model", "system", "ABI", "free MiB"], rows)


@app.command("doctor")
def doctor(serial: Serial = "all", json: Json = False) -> None:
    """Say what keeps phones from being measured, and what to do about it.

    The exit code is 4 where something does.
    """
    import msgspec

    from mobile_bench.phone.adb import Adb
    from mobile_bench.phone.doctor import examine

    adb = Adb.find()
    say(f"adb is {adb.program}")
    wanted = None if serial in (None, "all") else listed(str(serial))
    there = {one.serial: one.state for one in adb.devices()}
    serials = list(there) if wanted is None else wanted
    found = {one: examine(adb, one, there.get(one, "not attached")) for one in serials}
    if json:
        print_json({one: [msgspec.to_builtins(finding) for finding in findings] for one, findings in found.items()})
    else:
        for one, findings in found.items():
            out.print(one, highlight=False, markup=False)
            for finding in findings:
                words = f"  {_SIGNS[finding.verdict]} {finding.what}: {finding.said}"
                out.print(words, highlight=False, soft_wrap=True, markup=False)
    if not found:
        say(_NO_PHONE)
    if not found or any(finding.verdict == "wrong" for findings in found.values() for finding in findings):
        raise typer.Exit(_FAILED)


@app.command("build")
def build(
    abi: Annotated[str, typer.Option(help="arm64-v8a, armeabi-v7a, x86_64, x86, linux-aarch64 or host.")] = "arm64-v8a",
    runtime: Annotated[
        Path | None, typer.Option(help="onnxruntime-android.aar, a wheel, or libonnxruntime.so itself.", exists=True)
    ] = None,
    headers: Annotated[
        Path | None, typer.Option(help="Folder with onnxruntime_c_api.h; the .aar's own if not given.", exists=True)
    ] = None,
    ndk: Annotated[Path | None, typer.Option(help="Android's NDK; $ANDROID_NDK_HOME if not given.")] = None,
) -> None:
    """Build the native runner for an ABI: once, for all phones of that ABI.

    It goes to $ODLLM_RUNNERS, or ~/.cache/odllm/runners.
    """
    from mobile_bench.phone.runner_build import build_kit

    say(f"building the runner for {abi} …")
    say(f"the runner for {abi} is in {build_kit(abi, runtime, headers, ndk).folder}")


@app.command("run")
def run(
    bundles: Annotated[list[Path], typer.Argument(help="Bundle folders, measured side by side on each phone.")],
    out_file: Annotated[Path, typer.Option("--out", help="Write the records to this file.")],
    serial: Serial = None,
    provider: Annotated[str, typer.Option(help="Execution providers, such as cpu,xnnpack,nnapi,webgpu.")] = "cpu",
    threads: Annotated[str, typer.Option(help="Numbers of threads, such as 1,2,4.")] = "1",
    transport: Annotated[
        str, typer.Option(help="native: a program in the phone's shell; instrumentation: the app.")
    ] = "native",
    dataset: Annotated[
        Path | None, typer.Option(help="Dataset folder: also measure HR and NDCG of this very run on held-out items.")
    ] = None,
    users: Annotated[int, typer.Option(min=1, help="Users of --dataset, drawn by seed 0.")] = 500,
    min_seconds: Annotated[float, typer.Option(help="Least time of timed calls a cell.")] = 3.0,
    min_calls: Annotated[int, typer.Option(help="Fewest timed calls a cell.")] = 50,
    most_temperature: Annotated[float, typer.Option(help="Time only below this, in °C.")] = 42.0,
    least_battery: Annotated[float, typer.Option(help="Time only with this charge, in %.")] = 20.0,
    cool_down: Annotated[float, typer.Option(help="Seconds to wait for that at most.")] = 600.0,
    json: Json = False,
) -> None:
    """Measure time to top-k, load, memory, energy and lists of bundles on phones, all phones at once.

    A phone that goes away, is full or kills the program does not end the others; the exit code is 4 then.
    """
    from mobile_bench.phone.adb import Adb
    from mobile_bench.phone.facts import screen_warning
    from mobile_bench.phone.phones import PhonePlan, choose_serials, measure_phones
    from mobile_bench.phone.start_gate import GateSettings
    from mobile_bench.protocol import Settings
    from mobile_bench.quality import choose_users

    adb = Adb.find()
    plan = PhonePlan(
        bundles=bundles,
        providers=listed(provider),
        threads=parse_threads(threads),
        transport=transport,
        settings=Settings(min_seconds=min_seconds, min_calls=min_calls, max_seconds=max(120.0, min_seconds)),
        gate=GateSettings(
            most_temperature_c=most_temperature, least_battery_percent=least_battery, cool_down_s=cool_down
        ),
        users=None if dataset is None else choose_users(dataset, users),
    )
    serials = choose_serials(adb, serial)
    for one in serials:
        device = adb.device(one)
        if device.is_there() and (warning := screen_warning(device)):
            say(f"! {warning}")
    with progress_bar("measuring") as progress:
        results = measure_phones(adb, serials, plan, progress)
    report(results, out_file, json)


def _mebibytes(count: int | None) -> str:
    return "–" if count is None else f"{count / _MIB:.0f}"
