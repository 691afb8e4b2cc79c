"""The graphs of form `steps` into a bundle's folder: fixed sizes, calibration where the precision asks for it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx

from lcrec.catalog import Catalog
from lcrec.dataset import Dataset
from lcrec.prompt import Prompt
from odllm_export import bundle
from odllm_export.calibration import collect_ranges, training_histories
from odllm_export.errors import ExportError
from odllm_export.families.decoder import Decoder
from odllm_export.graph.builder import WeightFile, save_model
from odllm_export.graph.decomposed import Sizes, build_steps
from odllm_export.graph.qdq import Qdq
from odllm_export.graph.storage import Storage, storage_for
from odllm_export.graph.weights import Vocabulary
from odllm_export.graph_contract import KEY, shared_facts
from odllm_export.precision import PRECISIONS, Precision
from odllm_export.steps import StepsEngine
from odllm_export.tensors import ModelTensors

KINDS = ("fp32", "fp16", "int8-qdq")
"""Kinds of precision that providers with fixed shapes know."""


def check_precision(form: str, precision: Precision) -> None:
    """Check that a form's graphs can be stored at a precision.

    Raises:
        ExportError: they cannot.
    """
    if form == "steps" and precision.kind not in KINDS:
        names = ", ".join(name for name, known in PRECISIONS.items() if known.kind in KINDS)
        raise ExportError(
            f"precision {precision.name} needs operators that providers with fixed shapes lack; form steps has {names}"
        )
    if form != "steps" and precision.kind == "int8-qdq":
        raise ExportError(
            f"precision {precision.name} fixes the activations' ranges for providers that run form steps, and the form "
            f"is {form}; int8-dynamic is the finer choice there"
        )


@dataclass(frozen=True)
class StepsExport:
    """What the two graphs are made from.

    Attributes:
        model_folder: the model.
        decoder: its shape.
        prompt: its prompt.
        search: how the bundle searches.
        graph: facts of the manifest.
        sizes: what the graphs are made for.
    """

    model_folder: Path
    decoder: Decoder
    prompt: Prompt
    search: bundle.SearchFacts
    graph: bundle.GraphFacts
    sizes: bundle.FixedSizes

    def write(self, folder: Path, precision: Precision, dataset: Dataset, catalog: Catalog, histories: int) -> None:
        """Write both graphs and their weights; `histories` of the training part calibrate `int8-qdq`."""
        if precision.kind == "int8-qdq":
            exact = self._builder(storage_for(PRECISIONS["fp32"]))
            engine = functools.partial(StepsEngine, self.prompt, self.search, self.graph, self.sizes, catalog)
            ranges = collect_ranges(exact, engine, training_histories(dataset, histories))
            build = self._builder(Qdq(ranges, precision.activation_bits))
        else:
            build = self._builder(storage_for(precision))
        with WeightFile(folder / bundle.WEIGHTS) as weights:
            prefill, step = build(weights)
        facts = {KEY: shared_facts(self.prompt, self.search, self.graph)}
        save_model(prefill, folder / bundle.PREFILL, facts)
        save_model(step, folder / bundle.STEP, facts)

    def _builder(self, storage: Storage) -> Callable[[WeightFile], tuple[onnx.ModelProto, onnx.ModelProto]]:
        def build(weights: WeightFile) -> tuple[onnx.ModelProto, onnx.ModelProto]:
            vocabulary = Vocabulary.for_scoring(self.prompt, self.search.scoring)
            sizes = Sizes(self.sizes.chunk, self.search.num_beams, self.sizes.columns)
            with ModelTensors(self.model_folder) as tensors:
                return build_steps(self.decoder, tensors, self.prompt, vocabulary, sizes, weights, storage)

        return build
