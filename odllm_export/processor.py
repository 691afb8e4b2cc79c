"""Model and dataset in, logits processor out: constrained decoding behind any decoder (docs/interop.md)."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import msgspec
import onnx

from lcrec.catalog import Catalog, write_catalog
from lcrec.dataset import Dataset
from lcrec.dataset_match import check_code_sizes
from lcrec.evaluate import dataset_catalog
from lcrec.prompt import read_card
from odllm_artifact import read_json, write_folder, write_json
from odllm_export import bundle
from odllm_export.errors import ExportError
from odllm_export.graph.processor import CATALOG_INPUTS, OPSET, Rules, build_advance, build_processor
from odllm_export.splice import splice

PROCESSOR = "processor.onnx"
ADVANCE = "advance.onnx"
SPLICED = "model.onnx"
FACTS = "processor.json"
SCHEMA_VERSION = 1


def export_processor(
    model_folder: Path,
    dataset: Dataset,
    out: Path,
    *,
    scoring: str = "vocab",
    end_token: int | None = None,
    embed: bool = True,
    behind: Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a processor for a recommender's tokens and a dataset's items; return what `processor.json` says of it.

    Args:
        model_folder: whose `recommender.json` says where the code tokens are.
        dataset: whose items may be written.
        out: folder to write, whole or not at all.
        scoring: `vocab` (log-softmax over all logits, as transformers' beam search) or `codes` (over what may follow).
        end_token: token id that a complete item is followed by, if any.
        embed: keep the catalogue's arrays in the graphs; otherwise they are inputs.
        behind: a decoder's ONNX file; `model.onnx` is then that decoder with the processor behind its logits.
        overwrite: replace a folder that is there.

    Raises:
        ItemCodesError: the dataset's codes have another depth or other sizes than the model's.
        ExportError: options that do not fit each other, or a decoder that the processor cannot go behind.
    """
    prompt, catalog = read_card(model_folder).prompt, dataset_catalog(dataset)
    check_code_sizes(prompt.code_sizes, model_folder, dataset)
    rules = Rules(prompt.first_code_token, scoring, end_token)
    _check(rules, catalog, read_json(model_folder / "config.json")["vocab_size"])
    with write_folder(out, overwrite=overwrite) as folder:
        write_processor(catalog, rules, folder, embed=embed)
        if behind is not None:
            splice(behind, folder / PROCESSOR, folder / SPLICED)
        facts = _facts(folder, rules, catalog, embed)
        write_json(folder / FACTS, facts)
    return facts


def write_processor(catalog: Catalog, rules: Rules, folder: Path, *, embed: bool = True) -> None:
    """Write `processor.onnx`, `advance.onnx` and the catalogue that turns their final states into items."""
    onnx.save(build_processor(catalog, rules, embed=embed), folder / PROCESSOR)
    onnx.save(build_advance(catalog, rules, embed=embed), folder / ADVANCE)
    write_catalog(catalog, folder / bundle.CATALOG)


def _check(rules: Rules, catalog: Catalog, vocabulary: int) -> None:
    if rules.scoring not in ("vocab", "codes"):
        raise ExportError(f"scoring {rules.scoring!r} is not one of vocab, codes")
    end_of_codes = rules.first_code_token + catalog.code_rows
    if end_of_codes > vocabulary:
        raise ExportError(
            f"the last code token is {end_of_codes - 1}, but the model's vocabulary has {vocabulary} tokens"
        )
    end = rules.end_token
    if end is not None and (not 0 <= end < vocabulary or rules.first_code_token <= end < end_of_codes):
        raise ExportError(
            f"the end token is {end}; a token id below {vocabulary} is needed that is none of the code tokens "
            f"{rules.first_code_token} … {end_of_codes - 1}"
        )


def _facts(folder: Path, rules: Rules, catalog: Catalog, embed: bool) -> dict[str, Any]:
    names = sorted(path.name for path in folder.iterdir())
    return {
        "schema_version": SCHEMA_VERSION,
        "files": msgspec.to_builtins(bundle.file_facts(folder, names)),
        "scoring": rules.scoring,
        "first_code_token": rules.first_code_token,
        "end_token": rules.end_token,
        "catalog_inputs": [] if embed else list(CATALOG_INPUTS),
        "levels": catalog.levels,
        "items": catalog.items,
        "opset": OPSET,
        "provenance": {package: importlib.metadata.version(package) for package in ("odllm", "onnx")},
    }
