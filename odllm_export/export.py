"""Model folder and dataset in, bundle out."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from compression.checkpoint import load_model
from lcrec.catalog import Catalog, write_catalog
from lcrec.dataset import Dataset
from lcrec.evaluate import dataset_catalog
from lcrec.prompt import Prompt, RecommenderCard, read_card
from lcrec.search import Scoring, search
from odllm_artifact import Progress, read_json, sha256_file, silent, write_folder, write_json
from odllm_export import bundle
from odllm_export.errors import ExportError
from odllm_export.families.decoder import Decoder
from odllm_export.families.registry import read_decoder
from odllm_export.graph.builder import OLDEST_ONNXRUNTIME, OPSET, WeightFile
from odllm_export.graph.recommender import Search, Vocabulary, build_recommender
from odllm_export.model_card import model_card
from odllm_export.tensors import ModelTensors, parameter_count, shards

GOLDEN_HISTORIES = 8
"""Enough for a self-test, few enough that a large model's export does not wait for them."""

TOLERANCE = 1e-4
"""How far two scores may be apart and still be one: float32 sums in another order."""

_RUNTIME_BYTES = 80 << 20
"""What a process with the runtime and no model takes, generously."""


def export_bundle(
    model_folder: Path,
    dataset: Dataset,
    out: Path,
    *,
    num_beams: int = 20,
    top_k: int = 10,
    scoring: Scoring = "codes",
    golden: int = GOLDEN_HISTORIES,
    overwrite: bool = False,
    progress: Progress = silent,
) -> bundle.Manifest:
    """Write a bundle, whole or not at all.

    Args:
        model_folder: a recommender, dense or low-rank.
        dataset: whose items and codes the bundle serves.
        out: the bundle's folder.
        num_beams: beams kept a level.
        top_k: items returned unless a call asks otherwise.
        scoring: `codes` (cheaper, the default) or `vocab` (equal to transformers' beam search).
        golden: histories whose lists, computed by the model, go into `golden.json` for self-tests.
        overwrite: replace a folder that is there.
        progress: told about finished steps.

    Raises:
        UnsupportedModelError: the graph does not cover the model.
        TensorError: a tensor is missing, left over, misshapen or not finite.
        ExportError: options that contradict each other, or a dataset whose codes are not the model's.
    """
    card, decoder = read_card(model_folder), read_decoder(model_folder)
    catalog = dataset_catalog(dataset)
    _check(card.prompt, decoder, catalog, num_beams, top_k, scoring)
    with write_folder(out, overwrite=overwrite) as folder:
        _write_graph(model_folder, folder, decoder, card.prompt, Search(num_beams, scoring, catalog.levels))
        progress(1, 4, "graph written")
        write_catalog(catalog, folder / bundle.CATALOG)
        _write_items(dataset, folder / bundle.ITEMS)
        progress(2, 4, "catalogue written")
        cases = _golden_cases(
            model_folder, dataset, catalog, card.prompt, Search(num_beams, scoring, catalog.levels), golden
        )
        write_json(folder / bundle.GOLDEN, {"score_tolerance": TOLERANCE, "cases": cases})
        progress(3, 4, "golden lists computed by the model")
        manifest = _manifest(model_folder, folder, dataset, card, decoder, num_beams, top_k, scoring)
        (folder / bundle.MODEL_CARD).write_text(model_card(manifest, card, _evaluation(model_folder)))
        manifest.files.update(bundle.file_facts(folder, [bundle.MODEL_CARD]))
        bundle.write_manifest(manifest, folder)
    progress(4, 4)
    return manifest


def _check(prompt: Prompt, decoder: Decoder, catalog: Catalog, num_beams: int, top_k: int, scoring: str) -> None:
    if prompt.code_sizes != catalog.code_sizes:
        raise ExportError(
            f"the model speaks codes of sizes {prompt.code_sizes}, the dataset has {catalog.code_sizes}; "
            "export with the dataset that the model was trained on"
        )
    if prompt.first_code_token + prompt.code_rows > decoder.vocabulary:
        raise ExportError(
            f"the last code token is {prompt.first_code_token + prompt.code_rows - 1}, "
            f"but the model's vocabulary has {decoder.vocabulary} tokens"
        )
    if not 1 <= top_k <= num_beams:
        raise ExportError(f"top_k is {top_k} and num_beams {num_beams}; 1 ≤ top_k ≤ num_beams is needed")
    if scoring not in ("vocab", "codes"):
        raise ExportError(f"scoring {scoring!r} is not one of vocab, codes")


def _write_graph(model_folder: Path, folder: Path, decoder: Decoder, prompt: Prompt, how: Search) -> None:
    with ModelTensors(model_folder) as tensors, WeightFile(folder / bundle.WEIGHTS) as weights:
        model = build_recommender(decoder, tensors, prompt, how, weights)
    onnx.save(model, folder / bundle.GRAPH)


def _write_items(dataset: Dataset, path: Path) -> None:
    lines = (json.dumps({"id": i.id, "title": i.title}, ensure_ascii=False) + "\n" for i in dataset.items)
    path.write_text("".join(lines), encoding="utf-8")


def sample_histories(
    dataset: Dataset, count: int, *, seed: int = 0
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Return histories and blocked items (rows) that exercise a bundle.

    Users' real histories of all lengths, the long ones included, drawn by `seed`; every other one blocks
    what its user has seen.
    """
    users = np.random.default_rng(seed).choice(len(dataset.users), count, replace=count > len(dataset.users))
    histories = [dataset.split().test_history[user].astype(np.int64) for user in users]
    nothing = np.zeros(0, dtype=np.int64)
    return [(rows, np.unique(rows) if i % 2 else nothing) for i, rows in enumerate(histories)]


def _golden_cases(
    model_folder: Path, dataset: Dataset, catalog: Catalog, prompt: Prompt, how: Search, count: int
) -> list[dict[str, Any]]:
    """Return histories with the model's own lists: computed in torch, so that they can disagree with the graph."""
    model = load_model(model_folder)
    codes = catalog.item_code_rows - catalog.level_offsets
    cases = []
    for history, blocked in sample_histories(dataset, count):
        (found,) = search(
            model,
            [prompt.encode(codes[history])],
            catalog,
            prompt.first_code_token,
            num_beams=how.num_beams,
            scoring=how.scoring,
            blocked=[blocked.tolist()],
        )
        cases.append(
            {
                "history": _ids(dataset, history),
                "blocked": _ids(dataset, blocked),
                "items": _ids(dataset, found.rows),
                "scores": [float(score) for score in found.scores],
            }
        )
    return cases


def _ids(dataset: Dataset, rows: Sequence[int] | NDArray[np.int64]) -> list[str]:
    return [dataset.items[int(row)].id for row in rows]


def _manifest(
    model_folder: Path,
    folder: Path,
    dataset: Dataset,
    card: RecommenderCard,
    decoder: Decoder,
    num_beams: int,
    top_k: int,
    scoring: str,
) -> bundle.Manifest:
    ranks_file = model_folder / "low_rank.json"
    ranks = read_json(ranks_file)["ranks"] if ranks_file.is_file() else {}
    names = [bundle.GRAPH, bundle.WEIGHTS, bundle.CATALOG, bundle.ITEMS, bundle.GOLDEN]
    weight_bytes = (folder / bundle.WEIGHTS).stat().st_size
    return bundle.Manifest(
        name=dataset.name,
        files=bundle.file_facts(folder, names),
        model=bundle.ModelFacts(
            family=decoder.family,
            layers=decoder.layers,
            hidden=decoder.hidden,
            heads=decoder.heads,
            kv_heads=decoder.kv_heads,
            parameters=parameter_count(model_folder),
            keep_ratio=decoder.keep_ratio(ranks),
            ranks=ranks,
            precision="fp32",
        ),
        prompt=card.prompt,
        search=bundle.SearchFacts(num_beams, top_k, "trie", scoring),
        graph=bundle.GraphFacts(
            "loop", OPSET, OLDEST_ONNXRUNTIME, list(Vocabulary.for_scoring(card.prompt, scoring).embedding_rows)
        ),
        items=len(dataset.items),
        expected_peak_memory_bytes=expected_peak_memory(decoder, card.prompt, num_beams, weight_bytes),
        provenance={
            "checkpoint_sha256": checkpoint_hash(model_folder),
            **{f"dataset_{key}": value for key, value in card.dataset.items()},
            **{package: importlib.metadata.version(package) for package in ("odllm", "onnx", "torch")},
        },
    )


def expected_peak_memory(decoder: Decoder, prompt: Prompt, num_beams: int, weight_bytes: int) -> int:
    """Return an estimate of a process's peak memory in bytes while it opens and runs the bundle.

    Weights count twice: the runtime repacks matrices at load while the file is still mapped. Activations are the
    widest rows of the prompt and the keys and values of prompt and beams.
    """
    tokens = prompt.max_tokens + num_beams * (prompt.levels - 1)
    widest = 4 * decoder.intermediate + 8 * decoder.hidden + decoder.heads * tokens
    cache = 2 * decoder.layers * decoder.kv_heads * decoder.head_size * tokens
    return _RUNTIME_BYTES + 2 * weight_bytes + 4 * (tokens * widest + 2 * cache)


def checkpoint_hash(model_folder: Path) -> str:
    """Return the SHA-256 of a model's weights: of the file, or of the shards' hashes one after another."""
    hashes = [sha256_file(path) for path in shards(model_folder)]
    return hashes[0] if len(hashes) == 1 else "+".join(hashes)


def _evaluation(model_folder: Path) -> dict[str, Any] | None:
    path = model_folder / "evaluation.json"
    return read_json(path) if path.is_file() else None
