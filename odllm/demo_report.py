"""The demo's summary and the content of its report, from what the stages left on disk."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from lcrec.dataset import Dataset, load_dataset
from lcrec.model import find_preset
from mobile_bench.record import Record
from mobile_bench.report.content import (
    Baseline,
    Example,
    ExampleList,
    Fact,
    LayerRank,
    Measure,
    PrecisionComparison,
    PrecisionResult,
    Report,
    Variant,
    Verification,
)
from odllm.demo_folder import VARIANTS, DemoFolder, DemoSettings
from odllm_artifact import read_json
from odllm_export.bundle import read_manifest
from odllm_export.precision import find_precision
from odllm_export.runtime import Recommender

_EXAMPLE_ITEMS = range(5, 11)


def summary(demo: DemoFolder, settings: DemoSettings, seconds: float) -> dict[str, Any]:
    """Return what `summary.json` holds."""
    records, found = demo.records(), read_json(demo.out / "verify.json")
    quality = ("hit_rate@10", "ndcg@10")
    return {
        "seconds": seconds,
        **{_key(name): _bundle_summary(demo, name, records[name]) for name in VARIANTS},
        "baselines": {
            name: {key: row[key] for key in quality} for name, row in read_json(demo.out / "baselines.json").items()
        },
        "verify": _verify_summary(found["compressed"]),
        **{f"verify_{_key(name)}": _verify_summary(found[name]) for name in VARIANTS[:-1]},
        "precisions": {row["precision"]: _precision_summary(row) for row in _precision_rows(demo)},
        "settings": msgspec.structs.asdict(settings),
    }


def _key(name: str) -> str:
    return name.replace("-", "_")


def _bundle_summary(demo: DemoFolder, name: str, record: Record) -> dict[str, Any]:
    quality = demo.evaluation(name)
    times = record.timing.wall
    return {
        "parameters": record.bundle.parameters,
        "bundle_bytes": record.bundle.bundle_bytes,
        "hit_rate@10": quality["hit_rate@10"],
        "ndcg@10": quality["ndcg@10"],
        "time_to_top_k_ms": {"p50": times.p50, "p90": times.p90},
        "peak_memory_bytes": record.memory.peak_memory_bytes,
    }


def _verify_summary(found: dict[str, Any]) -> dict[str, Any]:
    return {key: found[key] for key in ("histories", "identical_lists", "max_score_difference")}


def _precision_rows(demo: DemoFolder) -> list[dict[str, Any]]:
    return list(read_json(demo.out / "precisions.json")["precisions"])


def _precision_summary(row: dict[str, Any]) -> dict[str, Any]:
    keys = ("weight_bytes", "bundle_bytes", "mean_overlap", "same_first_item", "hit_rate@10", "ndcg@10")
    return {key: row[key] for key in keys}


def worked_example(demo: DemoFolder) -> Example:
    """Return the first user with a short history, what each bundle recommends, and what the user took next.

    Not chosen for looking good: it is the first in the data with 5 to 10 films.
    """
    data = load_dataset(demo.dataset)
    histories = data.split().test_history
    user = next(i for i, history in enumerate(histories) if len(history) in _EXAMPLE_ITEMS)
    ids = [data.items[row].id for row in histories[user]]
    lists = []
    for name in (VARIANTS[0], VARIANTS[-1]):
        found = Recommender.open(demo.bundle(name)).recommend(ids, blocked=set(ids))
        lists.append(ExampleList(variant=name, titles=[one.title for one in found]))
    return Example(
        history=[data.items[row].title for row in histories[user]],
        lists=lists,
        actual_next=data.items[int(data.split().test_target[user])].title,
    )


def report_content(demo: DemoFolder, settings: DemoSettings) -> Report:
    """Return everything that the HTML report shows."""
    records = demo.records()
    data, found = load_dataset(demo.dataset), read_json(demo.out / "verify.json")
    compression = read_json(demo.model("compressed") / "compression.json")
    device = records["dense"].device
    kept, recovered = compression["keep_ratio"], compression["recovery"]["seconds"]
    descriptions = {
        "dense": "as it was trained",
        "training-free": f"{kept:.0%} of the factored matrices kept, nothing trained",
        "compressed": f"the same, and {recovered:.0f} s of recovery",
    }
    return Report(
        title="An LLM recommender at half its size",
        subtitle=f"{data.name}: {len(data.users):,} users, {len(data.items):,} items, "
        f"{data.interactions:,} interactions",
        device=f"{device.cpu_model}, {device.cores} cores, onnxruntime {device.onnxruntime}, 1 thread",
        made_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        variants=[_variant(demo, name, words, records[name]) for name, words in descriptions.items()],
        baselines=_baselines(demo),
        example=worked_example(demo),
        ranks=[_layer_rank(linear) for linear in compression["linears"]],
        verification=[
            Verification(
                variant=name,
                histories=found[name]["histories"],
                identical_lists=found[name]["identical_lists"],
                max_score_difference=found[name]["max_score_difference"],
            )
            for name in VARIANTS
        ],
        precisions=_precisions(demo),
        provenance=_provenance(demo, data),
        commands=["make demo"],
        notes=_notes(settings),
    )


def _variant(demo: DemoFolder, name: str, description: str, record: Record) -> Variant:
    quality = demo.evaluation(name)
    return Variant(
        name=name,
        description=description,
        parameters=record.bundle.parameters,
        bundle_bytes=record.bundle.bundle_bytes,
        hit_rate_10=_measure(quality, "hit_rate@10"),
        ndcg_10=_measure(quality, "ndcg@10"),
        time_to_top_k_ms=list(record.timing.wall_ms),
        peak_memory_bytes=record.memory.peak_memory_bytes,
        timing_caveats=list(record.validity.reasons),
    )


def _baselines(demo: DemoFolder) -> list[Baseline]:
    rows = read_json(demo.out / "baselines.json")
    return [
        Baseline(name=name, hit_rate_10=_measure(row, "hit_rate@10"), ndcg_10=_measure(row, "ndcg@10"))
        for name, row in rows.items()
    ]


def _precisions(demo: DemoFolder) -> PrecisionComparison:
    rows = _precision_rows(demo)
    first = rows[0]
    return PrecisionComparison(
        variant="compressed",
        histories=first["histories"],
        top_k=first["top_k"],
        users=first["users"],
        results=[_precision_result(row, None if row is first else first) for row in rows],
    )


def _precision_result(row: dict[str, Any], reference: dict[str, Any] | None) -> PrecisionResult:
    change = None
    if reference is not None:
        low, high = row["ndcg@10_change_interval"]
        change = Measure(value=row["ndcg@10"] - reference["ndcg@10"], low=low, high=high)
    return PrecisionResult(
        name=row["precision"],
        description=find_precision(row["precision"]).summary,
        weight_bytes=row["weight_bytes"],
        bundle_bytes=row["bundle_bytes"],
        overlap=row["mean_overlap"],
        same_first_item=row["same_first_item"],
        hit_rate_10=_measure(row, "hit_rate@10"),
        ndcg_10=_measure(row, "ndcg@10"),
        ndcg_10_change=change,
    )


def _measure(quality: dict[str, Any], key: str) -> Measure:
    low, high = quality[f"{key}_interval"]
    return Measure(value=quality[key], low=low, high=high)


def _layer_rank(linear: dict[str, Any]) -> LayerRank:
    parts = linear["name"].split(".")
    return LayerRank(
        layer=int(parts[2]),
        projection=parts[-1].removesuffix("_proj"),
        rank=linear["rank"],
        full_rank=min(linear["shape"]),
    )


def _provenance(demo: DemoFolder, data: Dataset) -> list[Fact]:
    facts = [Fact(label="dataset", value=data.name)]
    for name in VARIANTS:
        manifest = read_manifest(demo.bundle(name))
        facts += [Fact(label=f"{name}: {key}", value=value) for key, value in manifest.provenance.items()]
        facts += [Fact(label=f"{name}: SHA-256 of {file}", value=fact.sha256) for file, fact in manifest.files.items()]
    return facts


def _notes(settings: DemoSettings) -> list[str]:
    window = find_preset(settings.preset).max_items
    return [
        "Quality: leave-one-out on the last film of every user, over the full catalogue, films already seen not left "
        "out; intervals are 95 % bootstrap intervals over users. With so few users differences of a few percent are "
        "noise.",
        f"Time: from a history of up to {window} films to the ranked list, one call, one thread, both bundles in turn "
        "in one run. It was taken on this machine, not on a phone.",
        "MovieLens data: F. M. Harper and J. A. Konstan, The MovieLens Datasets: History and Context, ACM TiiS 5 (4), "
        "2015, doi:10.1145/2827872; for research, not for commercial use.",
    ]
