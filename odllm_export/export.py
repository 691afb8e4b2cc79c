"""Model folder and dataset in, bundle out."""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from lcrec.catalog import Catalog, write_catalog
from lcrec.dataset import Dataset
from lcrec.evaluate import dataset_catalog
from lcrec.prompt import Prompt, RecommenderCard, read_card
from lcrec.search import Scoring
from odllm_artifact import Progress, read_json, silent, write_folder, write_json
from odllm_export import bundle
from odllm_export.catalog_edit import catalog_memory_bytes
from odllm_export.errors import ExportError
from odllm_export.families.decoder import Decoder
from odllm_export.families.registry import read_decoder
from odllm_export.golden_choice import GoldenBy, check_golden, golden_lists
from odllm_export.graph.builder import OLDEST_ONNXRUNTIME, OPSET, WeightFile
from odllm_export.graph.passes import Search
from odllm_export.graph.recommender import build_recommender
from odllm_export.graph.weights import Vocabulary
from odllm_export.graph_contract import KEY, shared_facts
from odllm_export.model_card import model_card
from odllm_export.precision import find_precision
from odllm_export.tensors import ModelTensors, checkpoint_hash, parameter_count, read_ranks

_RUNTIME_BYTES = 60 << 20
"""What a process with the runtime and no model takes, generously."""

_LAYER_BYTES = 500 << 10
"""What the runtime keeps of a decoder layer's nodes (measured: 200 to 600 KiB, quantised graphs the most)."""


@dataclass(frozen=True)
class ExportOptions:
    """What to export.

    Attributes:
        num_beams: beams kept a level.
        top_k: items returned unless a call asks otherwise.
        scoring: `codes` (cheaper, the default) or `vocab` (equal to transformers' beam search).
        precision: a name of `odllm_export.precision.PRECISIONS`.
        prefix_cache: store the keys and values of the prompt's fixed prefix.
        ahead: the most children that one pass runs with their parents; twice the beams if not given.
        golden: histories whose lists go into `golden.json` for self-tests: enough for one, few enough that a large
            model's export does not wait for them.
        golden_by: who computes those lists (`golden_choice.golden_lists`).
    """

    num_beams: int = 20
    top_k: int = 10
    scoring: Scoring = "codes"
    precision: str = "fp32"
    prefix_cache: bool = True
    ahead: int | None = None
    golden: int = 8
    golden_by: GoldenBy = "auto"

    def search(self, levels: int) -> Search:
        """Return how the graph searches a catalogue of `levels`."""
        # A pass over 40 tokens takes little longer than one over 20: both wait for the weights.
        ahead = 2 * self.num_beams if self.ahead is None else self.ahead
        return Search(self.num_beams, self.scoring, levels, ahead)


def export_bundle(
    model_folder: Path,
    dataset: Dataset,
    out: Path,
    options: ExportOptions | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> bundle.Manifest:
    """Write a bundle, whole or not at all.

    Args:
        model_folder: a recommender, dense or low-rank.
        dataset: whose items and codes the bundle serves.
        out: the bundle's folder.
        options: what to export.
        overwrite: replace a folder that is there.
        progress: told about finished steps.

    Raises:
        UnsupportedModelError: the graph does not cover the model.
        TensorError: a tensor is missing, left over, misshapen or not finite.
        ExportError: options that contradict each other, or a dataset whose codes are not the model's.
    """
    options = options or ExportOptions()
    card, decoder = read_card(model_folder), read_decoder(model_folder)
    catalog, precision = dataset_catalog(dataset), find_precision(options.precision)
    _check(card.prompt, decoder, catalog, options)
    search_facts = options.search(catalog.levels)
    with write_folder(out, overwrite=overwrite) as folder:
        with ModelTensors(model_folder) as tensors, WeightFile(folder / bundle.WEIGHTS) as weights:
            ranks = read_ranks(model_folder, tensors)
            graph = build_recommender(
                decoder,
                tensors,
                card.prompt,
                search_facts,
                weights,
                precision=precision,
                prefix_cache=options.prefix_cache,
            )
        onnx.save(graph, folder / bundle.GRAPH)
        progress(1, 4, "graph written")
        write_catalog(catalog, folder / bundle.CATALOG)
        _write_items(dataset, folder / bundle.ITEMS)
        progress(2, 4, "catalogue written")
        manifest = _manifest(model_folder, folder, dataset, catalog, card, decoder, ranks, options, search_facts)
        onnx.helper.set_model_props(graph, {KEY: shared_facts(manifest)})
        onnx.save(graph, folder / bundle.GRAPH)
        manifest.files.update(bundle.file_facts(folder, [bundle.GRAPH]))
        bundle.write_manifest(manifest, folder)
        by, count = options.golden_by, options.golden
        golden = golden_lists(by, count, model_folder, folder, manifest, catalog, dataset)
        if golden is not None:
            write_json(folder / bundle.GOLDEN, golden)
        progress(3, 4, "golden lists computed" if golden else "no golden lists")
        (folder / bundle.MODEL_CARD).write_text(model_card(manifest, card, _evaluation(model_folder)))
        names = [bundle.MODEL_CARD] if golden is None else [bundle.GOLDEN, bundle.MODEL_CARD]
        manifest.files.update(bundle.file_facts(folder, names))
        bundle.write_manifest(manifest, folder)
    progress(4, 4)
    return manifest


def _check(prompt: Prompt, decoder: Decoder, catalog: Catalog, options: ExportOptions) -> None:
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
    words = (prompt.first_code_token, *prompt.prefix_ids, *prompt.separator_ids, *prompt.suffix_ids)
    outside = [token for token in words if not 0 <= token < decoder.vocabulary]
    if outside:
        raise ExportError(
            f"the prompt's token {outside[0]} is outside the model's vocabulary of {decoder.vocabulary} tokens; "
            "take the recommender.json that belongs to the model"
        )
    if not 1 <= options.top_k <= options.num_beams:
        raise ExportError(
            f"top_k is {options.top_k} and num_beams {options.num_beams}; 1 ≤ top_k ≤ num_beams is needed"
        )
    if options.scoring not in ("vocab", "codes"):
        raise ExportError(f"scoring {options.scoring!r} is not one of vocab, codes")
    check_golden(options.golden_by, options.golden, options.precision)
    if options.ahead is not None and options.ahead < 0:
        raise ExportError(f"ahead is {options.ahead}; 0 feeds every level by itself, more saves passes")


def _write_items(dataset: Dataset, path: Path) -> None:
    lines = (json.dumps({"id": i.id, "title": i.title}, ensure_ascii=False) + "\n" for i in dataset.items)
    path.write_text("".join(lines), encoding="utf-8")


def _manifest(
    model_folder: Path,
    folder: Path,
    dataset: Dataset,
    catalog: Catalog,
    card: RecommenderCard,
    decoder: Decoder,
    ranks: dict[str, int],
    options: ExportOptions,
    how: Search,
) -> bundle.Manifest:
    names = [bundle.GRAPH, bundle.WEIGHTS, bundle.CATALOG, bundle.ITEMS]
    weight_bytes = (folder / bundle.WEIGHTS).stat().st_size
    # Int8 products repack a matrix a call for little; the copy that repacking at load makes is half of the memory.
    prepack = find_precision(options.precision).kind != "int8-dynamic"
    prompt = card.prompt
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
            precision=options.precision,
        ),
        prompt=prompt,
        search=bundle.SearchFacts(how.num_beams, options.top_k, "trie", how.scoring, how.ahead),
        graph=bundle.GraphFacts(
            form="loop",
            opset=OPSET,
            onnxruntime=OLDEST_ONNXRUNTIME,
            embedding_rows=list(Vocabulary.for_scoring(prompt, how.scoring).embedding_rows),
            kv_cache=[decoder.layers, 2, decoder.kv_heads, decoder.head_size],
            prefix_tokens=len(prompt.prefix_ids) if options.prefix_cache else 0,
            prepack=prepack,
        ),
        items=len(dataset.items),
        expected_peak_memory_bytes=expected_peak_memory(decoder, prompt, how, weight_bytes, prepack=prepack)
        + catalog_memory_bytes(catalog, (folder / bundle.ITEMS).stat().st_size),
        provenance={
            "checkpoint_sha256": checkpoint_hash(model_folder),
            **{f"dataset_{key}": value for key, value in card.dataset.items()},
            **{package: importlib.metadata.version(package) for package in ("odllm", "onnx", "torch")},
        },
    )


def expected_peak_memory(decoder: Decoder, prompt: Prompt, how: Search, weight_bytes: int, *, prepack: bool) -> int:
    """Return an estimate of a process's peak memory in bytes while it opens and runs the bundle.

    Weights count twice where the runtime repacks them at load while the file is still mapped. Keys and values of
    prompt and beams count twice, as a pass begins with them and makes grown ones. Activations are the widest rows of
    the prompt. Every node of the graph takes a few kilobytes.
    """
    tokens = prompt.max_tokens + how.num_beams * (prompt.levels - 1)
    widest = 4 * decoder.intermediate + 8 * decoder.hidden + decoder.heads * tokens
    cache = 2 * decoder.layers * decoder.kv_heads * decoder.head_size * tokens
    weights = (2 if prepack else 1) * weight_bytes
    return _RUNTIME_BYTES + _LAYER_BYTES * decoder.layers + weights + 4 * (tokens * widest + 2 * cache)


def _evaluation(model_folder: Path) -> dict[str, Any] | None:
    path = model_folder / "evaluation.json"
    return read_json(path) if path.is_file() else None
