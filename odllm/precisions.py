"""What rounding costs: one model exported at several precisions, each held against the model itself."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from lcrec.dataset import Dataset
from lcrec.evaluate import dataset_catalog, evaluate
from lcrec.metrics import bootstrap_interval, hit_rate, ndcg
from odllm.evaluation import split_users
from odllm.evaluation_targets import bundle_ranker
from odllm_artifact import Progress, silent
from odllm_export.bundle import WEIGHTS, Manifest, bundle_bytes
from odllm_export.engine import Options
from odllm_export.export import ExportOptions, export_bundle
from odllm_export.export_steps import check_precision
from odllm_export.golden import Case, sample_histories
from odllm_export.list_difference import overlap
from odllm_export.oracle import model_results
from odllm_export.precision import DEVICE_PROFILES, find_precision
from odllm_export.runtime import Recommender

DEFAULT_NAMES = ("fp32", "fp16", "int8-dynamic", "int8-block32", "int4-block32", "int4-block128")
"""Of the forms `loop` and `unrolled`: one of each kind, and for 4 bits the finest and the coarsest scales."""

STEPS_NAMES = ("fp32", "fp16", "int8-qdq", "int8-qdq16")
"""All that form `steps` has."""

REFERENCE = "fp32"
"""Always measured, and first: what the others' quality is held against."""

_EXPORT_CALLS = 300
_MODEL_CALLS = 5
"""What an export and a search in torch take, in calls of a bundle: enough for an estimate of the time that is left."""


class PrecisionRow(msgspec.Struct, frozen=True):
    """What one precision takes and what it keeps.

    Attributes:
        precision: its name.
        weight_bytes: of the weights file.
        bundle_bytes: of all files that a phone needs.
        histories: whose lists were compared with those of the model's own search in torch, which is float32.
        top_k: items of a list that were compared.
        mean_overlap: share of the model's first `top_k` items that are among the bundle's first `top_k`.
        same_first_item: share of the histories whose best item is the model's.
        users: whose last item was asked for (test split, full catalogue).
        hit_rate_10: HR@10.
        hit_rate_10_interval: 95 % over users.
        hit_rate_10_ratio: HR@10 ÷ that of fp32; None where that is 0.
        ndcg_10: NDCG@10.
        ndcg_10_interval: 95 % over users.
        ndcg_10_ratio: NDCG@10 ÷ that of fp32; None where that is 0.
        ndcg_10_change_interval: 95 % of the difference from fp32, user by user. Where it holds 0, the change may be
            chance. It is narrower than the two intervals look: the same users are hard for both.
    """

    precision: str
    weight_bytes: int
    bundle_bytes: int
    histories: int
    top_k: int
    mean_overlap: float
    same_first_item: float
    users: int
    hit_rate_10: float = msgspec.field(name="hit_rate@10")
    hit_rate_10_interval: tuple[float, float] = msgspec.field(name="hit_rate@10_interval")
    hit_rate_10_ratio: float | None = msgspec.field(name="hit_rate@10_ratio")
    ndcg_10: float = msgspec.field(name="ndcg@10")
    ndcg_10_interval: tuple[float, float] = msgspec.field(name="ndcg@10_interval")
    ndcg_10_ratio: float | None = msgspec.field(name="ndcg@10_ratio")
    ndcg_10_change_interval: tuple[float, float] = msgspec.field(name="ndcg@10_change_interval")


@dataclass(frozen=True)
class _Bundle:
    """What a bundle did before it was deleted: its `[histories]` lists of item rows, its targets' ranks `[users]`."""

    manifest: Manifest
    bytes: int
    lists: list[NDArray[np.int64]]
    ranks: NDArray[np.int64]


def compare_precisions(
    model_folder: Path,
    dataset: Dataset,
    names: Sequence[str] = (),
    *,
    histories: int = 300,
    users: int | None = None,
    options: ExportOptions | None = None,
    seed: int = 0,
    threads: int = 1,
    progress: Progress = silent,
) -> list[PrecisionRow]:
    """Export a model at several precisions, measure every bundle, and delete it before the next.

    Args:
        model_folder: a recommender, dense or low-rank.
        dataset: whose items the bundles serve and whose users are asked.
        names: of precisions, the form's usual ones if there are none. fp32 is measured in any case and comes first.
        histories: drawn by `seed`, whose lists are compared with the model's; every other one blocks what its user
            has seen.
        users: drawn by seed 0, whose last item is asked for; all if not given.
        options: of the exports, but for the precision.
        seed: of the histories.
        threads: of the runtime.
        progress: told about finished work, in calls of a bundle.

    Raises:
        ExportError: a name that is none, a precision that the form does not have, or a model that cannot be exported.
    """
    options = options or ExportOptions()
    chosen = _chosen(names, options.form)
    cases = sample_histories(dataset, histories, seed=seed)
    asked = len(split_users(dataset, "test", users)[0])
    share = _EXPORT_CALLS + len(cases) + asked
    total = share * len(chosen) + _MODEL_CALLS * len(cases)
    bundles = []
    for number, name in enumerate(chosen):
        part = _part(progress, number * share, total, name)
        bundles.append(_measure(model_folder, dataset, replace(options, precision=name), cases, users, threads, part))
    part, expected = _part(progress, share * len(chosen), total, "the model itself"), []
    for found in model_results(model_folder, bundles[0].manifest, dataset_catalog(dataset), cases):
        expected.append(found.rows[: options.top_k])
        part(_MODEL_CALLS * len(expected), 0)
    return [_row(bundle, bundles[0], expected) for bundle in bundles]


def _chosen(names: Sequence[str], form: str) -> list[str]:
    """Return what is measured, in order, each once; a bad name must not be found after minutes of work."""
    usual = STEPS_NAMES if form == "steps" else DEFAULT_NAMES
    chosen = list(dict.fromkeys((REFERENCE, *(names or usual))))
    for name in chosen:
        check_precision(form, find_precision(name))
    return chosen


def comparison_record(rows: Sequence[PrecisionRow]) -> dict[str, Any]:
    """Return rows, and what `auto` takes for each device profile and why, as plain values for JSON."""
    auto = {name: {"precision": one.precision, "reason": one.reason} for name, one in DEVICE_PROFILES.items()}
    return {"precisions": msgspec.to_builtins(rows), "auto": auto}


def _part(progress: Progress, start: float, total: float, note: str) -> Progress:
    """Return the progress of a piece of work that begins at `start` of `total`; its own total is not looked at."""
    return lambda done, _, __="": progress(start + done, total, note)


def _measure(
    model_folder: Path,
    dataset: Dataset,
    options: ExportOptions,
    cases: Sequence[Case],
    users: int | None,
    threads: int,
    progress: Progress,
) -> _Bundle:
    progress(0, 1)
    histories, targets = split_users(dataset, "test", users)
    codes = dataset.require_codes().codes
    with tempfile.TemporaryDirectory(prefix="odllm-precisions-") as temporary:
        folder = Path(temporary) / options.precision
        manifest = export_bundle(model_folder, dataset, folder, options)
        with Recommender.open(folder, Options(threads=threads)) as recommender:
            lists = []
            for case in cases:
                lists.append(recommender.recommend_rows(*case)[0][: options.top_k])
                progress(_EXPORT_CALLS + len(lists), 1)
            before = _EXPORT_CALLS + len(cases)
            found = evaluate(
                bundle_ranker(recommender, dataset),
                histories,
                targets,
                codes,
                progress=lambda done, _, __="": progress(before + done, 1),
            )
        return _Bundle(manifest, bundle_bytes(folder, manifest), lists, found.ranks)


def _row(bundle: _Bundle, reference: _Bundle, expected: Sequence[NDArray[np.int64]]) -> PrecisionRow:
    hits, gains = hit_rate(bundle.ranks, 10), ndcg(bundle.ranks, 10)
    reference_gains = ndcg(reference.ranks, 10)
    pairs = list(zip(bundle.lists, expected, strict=True))
    return PrecisionRow(
        precision=bundle.manifest.model.precision,
        weight_bytes=bundle.manifest.files[WEIGHTS].bytes,
        bundle_bytes=bundle.bytes,
        histories=len(pairs),
        top_k=bundle.manifest.search.top_k,
        mean_overlap=float(np.mean([overlap(rows, model) for rows, model in pairs])),
        same_first_item=float(np.mean([np.array_equal(rows[:1], model[:1]) for rows, model in pairs])),
        users=len(bundle.ranks),
        hit_rate_10=float(hits.mean()),
        hit_rate_10_interval=bootstrap_interval(hits),
        hit_rate_10_ratio=_ratio(hits, hit_rate(reference.ranks, 10)),
        ndcg_10=float(gains.mean()),
        ndcg_10_interval=bootstrap_interval(gains),
        ndcg_10_ratio=_ratio(gains, reference_gains),
        ndcg_10_change_interval=bootstrap_interval(gains - reference_gains),
    )


def _ratio(values: NDArray[np.float64], reference: NDArray[np.float64]) -> float | None:
    return float(values.mean() / reference.mean()) if reference.any() else None
