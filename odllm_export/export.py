"""Model folder and dataset in, bundle out."""

from __future__ import annotations

import importlib.metadata
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import onnx

from lcrec.catalog import Catalog, write_catalog
from lcrec.dataset import Dataset
from lcrec.dataset_match import check_code_sizes
from lcrec.evaluate import dataset_catalog
from lcrec.prompt import Prompt, RecommenderCard, read_card
from lcrec.search import Scoring
from odllm_artifact import Progress, read_json, silent, write_folder, write_json
from odllm_export import bundle
from odllm_export.errors import ExportError
from odllm_export.export_steps import StepsExport, check_precision
from odllm_export.families.decoder import Decoder
from odllm_export.families.registry import read_decoder
from odllm_export.golden import sample_histories
from odllm_export.golden_choice import GoldenBy, check_golden, golden_lists
from odllm_export.graph import decomposed
from odllm_export.graph.builder import OLDEST_ONNXRUNTIME, OPSET, WeightFile, save_model
from odllm_export.graph.passes import Search
from odllm_export.graph.recommender import build_recommender
from odllm_export.graph.weights import Vocabulary
from odllm_export.graph_contract import KEY, shared_facts
from odllm_export.memory_estimate import estimate_memory
from odllm_export.model_card import model_card
from odllm_export.ort_format import add_ort_format
from odllm_export.precision import Precision, find_precision
from odllm_export.simplify import simplify_bundle
from odllm_export.tensors import ModelTensors, checkpoint_hash, parameter_count, read_ranks, read_shared_inputs

Form = Literal["loop", "unrolled", "steps"]


@dataclass(frozen=True)
class ExportOptions:
    """What to export.

    Attributes:
        num_beams: beams kept a level.
        top_k: items returned unless a call asks otherwise.
        scoring: `codes` (cheaper, the default) or `vocab` (equal to transformers' beam search).
        form: `loop` (one graph, one copy of the decoder, the fewest passes), `unrolled` (one graph without Loop, a pass
            a level) or `steps` (two decoder graphs of fixed shapes, the search outside).
        precision: a name of `odllm_export.precision.PRECISIONS`.
        prefix_cache: store the keys and values of the prompt's fixed prefix; form `steps` always runs it.
        ahead: the most children that one pass runs with their parents; twice the beams if not given.
        golden: histories whose lists go into `golden.json` for self-tests: enough for one, few enough that a large
            model's export does not wait for them.
        chunk: tokens of the prompt that form `steps` runs at once.
        calibration: histories of the training part that set the ranges of `int8-qdq` and `int8-qdq16`.
        simplify: run onnxsim on the graph, and require the same lists afterwards.
        ort_format: write the graph in ONNX Runtime's own format too, and the operators that it needs.
        golden_by: who computes those lists (`golden_choice.golden_lists`).
    """

    num_beams: int = 20
    top_k: int = 10
    scoring: Scoring = "codes"
    form: Form = "loop"
    precision: str = "fp32"
    prefix_cache: bool = True
    ahead: int | None = None
    golden: int = 8
    chunk: int = 32
    calibration: int = 64
    simplify: bool = False
    ort_format: bool = False
    golden_by: GoldenBy = "auto"

    def search(self, levels: int) -> Search:
        """Return how the graph searches a catalogue of `levels`."""
        # A pass over 40 tokens takes little longer than one over 20: both wait for the weights.
        ahead = 2 * self.num_beams if self.ahead is None else self.ahead
        ahead = ahead if self.form == "loop" else 0
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
        ItemCodesError: the dataset's codes have another depth or other sizes than the model's.
        ExportError: options that contradict each other.
    """
    options = options or ExportOptions()
    card, decoder = read_card(model_folder), read_decoder(model_folder)
    catalog, precision = dataset_catalog(dataset), find_precision(options.precision)
    check_code_sizes(card.prompt.code_sizes, model_folder, dataset)
    _check(card.prompt, decoder, options)
    search = options.search(catalog.levels)
    search_facts = bundle.SearchFacts(search.num_beams, options.top_k, "trie", search.scoring, search.ahead)
    facts = _graph_facts(card.prompt, decoder, options)
    with write_folder(out, overwrite=overwrite) as folder:
        with ModelTensors(model_folder) as tensors:
            ranks = read_ranks(model_folder, tensors)
        if facts.fixed is None:
            graph = _build_graph(model_folder, folder, card.prompt, decoder, search, options)
            save_model(graph, folder / bundle.GRAPH, {KEY: shared_facts(card.prompt, search_facts, facts)})
        else:
            steps = StepsExport(model_folder, decoder, card.prompt, search_facts, facts, facts.fixed)
            steps.write(folder, precision, dataset, catalog, options.calibration)
        progress(1, 4, "graph written")
        write_catalog(catalog, folder / bundle.CATALOG)
        _write_items(dataset, folder / bundle.ITEMS)
        progress(2, 4, "catalogue written")
        manifest = _manifest(
            model_folder, folder, dataset, catalog, card, decoder, ranks, precision, search_facts, facts
        )
        bundle.write_manifest(manifest, folder)
        if options.simplify:
            simplify_bundle(folder, manifest, sample_histories(dataset, options.golden))
        if options.ort_format:
            add_ort_format(folder, manifest)
            bundle.write_manifest(manifest, folder)
        _write_golden(model_folder, folder, manifest, catalog, dataset, options)
        progress(3, 4, "golden lists computed" if bundle.GOLDEN in manifest.files else "no golden lists")
        text = model_card(manifest, card, _evaluation(model_folder), estimate_memory(manifest, catalog))
        (folder / bundle.MODEL_CARD).write_text(text)
        manifest.files.update(bundle.file_facts(folder, [bundle.MODEL_CARD]))
        bundle.write_manifest(manifest, folder)
    progress(4, 4)
    return manifest


def _check(prompt: Prompt, decoder: Decoder, options: ExportOptions) -> None:
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
    if options.form not in bundle.FORM_FILES:
        raise ExportError(f"form {options.form!r} is not one of {', '.join(bundle.FORM_FILES)}")
    check_precision(options.form, find_precision(options.precision))
    if options.form == "steps" and (options.simplify or options.ort_format):
        raise ExportError("form steps has two graphs of its own; --simplify and --ort-format are for loop and unrolled")
    if min(options.chunk, options.calibration) < 1:
        raise ExportError(f"chunk is {options.chunk} and calibration {options.calibration}; at least 1 is needed")
    if options.ahead is not None and options.ahead < 0:
        raise ExportError(f"ahead is {options.ahead}; 0 feeds every level by itself, more saves passes")


def _build_graph(
    model_folder: Path, folder: Path, prompt: Prompt, decoder: Decoder, search: Search, options: ExportOptions
) -> onnx.ModelProto:
    with ModelTensors(model_folder) as tensors, WeightFile(folder / bundle.WEIGHTS) as weights:
        return build_recommender(
            decoder,
            tensors,
            prompt,
            search,
            weights,
            precision=find_precision(options.precision),
            prefix_cache=options.prefix_cache,
            form="loop" if options.form == "loop" else "unrolled",
        )


def _write_golden(
    model_folder: Path,
    folder: Path,
    manifest: bundle.Manifest,
    catalog: Catalog,
    dataset: Dataset,
    options: ExportOptions,
) -> None:
    by, count = options.golden_by, options.golden
    golden = golden_lists(by, count, model_folder, folder, manifest, catalog, dataset)
    if golden is not None:
        write_json(folder / bundle.GOLDEN, golden)
        manifest.files.update(bundle.file_facts(folder, [bundle.GOLDEN]))


def _graph_facts(prompt: Prompt, decoder: Decoder, options: ExportOptions) -> bundle.GraphFacts:
    is_steps = options.form == "steps"
    sizes = decomposed.fixed_sizes(prompt, options.num_beams, options.chunk)
    # Int8 products repack a matrix a call for little; the copy that repacking at load makes is half of the memory, and
    # two graphs would make two.
    prepack = not is_steps and find_precision(options.precision).kind != "int8-dynamic"
    return bundle.GraphFacts(
        form=options.form,
        opset=decomposed.OPSET if is_steps else OPSET,
        onnxruntime=decomposed.OLDEST_ONNXRUNTIME if is_steps else OLDEST_ONNXRUNTIME,
        embedding_rows=list(Vocabulary.for_scoring(prompt, options.scoring).embedding_rows),
        kv_cache=[decoder.layers, 2, decoder.kv_heads, decoder.head_size],
        prefix_tokens=len(prompt.prefix_ids) if options.prefix_cache and not is_steps else 0,
        prepack=prepack,
        fixed=bundle.FixedSizes(sizes.chunk, sizes.columns) if is_steps else None,
    )


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
    precision: Precision,
    search: bundle.SearchFacts,
    graph: bundle.GraphFacts,
) -> bundle.Manifest:
    names = [*bundle.FORM_FILES[graph.form], bundle.CATALOG, bundle.ITEMS]
    prompt = card.prompt
    manifest = bundle.Manifest(
        name=dataset.name,
        files=bundle.file_facts(folder, names),
        model=bundle.ModelFacts(
            family=decoder.family,
            layers=decoder.layers,
            hidden=decoder.hidden,
            heads=decoder.heads,
            kv_heads=decoder.kv_heads,
            parameters=parameter_count(model_folder),
            keep_ratio=decoder.keep_ratio(ranks, read_shared_inputs(model_folder)),
            ranks=ranks,
            precision=precision.name,
        ),
        prompt=prompt,
        search=search,
        graph=graph,
        items=len(dataset.items),
        expected_peak_memory_bytes=0,
        provenance={
            "checkpoint_sha256": checkpoint_hash(model_folder),
            **{f"dataset_{key}": value for key, value in card.dataset.items()},
            **{package: importlib.metadata.version(package) for package in ("odllm", "onnx", "torch")},
        },
    )
    return msgspec.structs.replace(manifest, expected_peak_memory_bytes=estimate_memory(manifest, catalog).peak)


def _evaluation(model_folder: Path) -> dict[str, Any] | None:
    path = model_folder / "evaluation.json"
    return read_json(path) if path.is_file() else None
