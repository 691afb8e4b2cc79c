"""The bundle's MODEL_CARD.md: what it is, what it was trained on, what was measured, its limits.

Its front matter is that of a model card on the Hugging Face Hub, so the folder can be published as it is.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from jinja2 import Environment, StrictUndefined

from lcrec.prompt import RecommenderCard
from odllm_export.bundle import GRAPH, ORT_GRAPH, WEIGHTS, Manifest
from odllm_export.memory_estimate import MemoryEstimate

_METRIC = re.compile(r"^(hit_rate|ndcg)@\d+$")


def model_card(
    manifest: Manifest, card: RecommenderCard, evaluation: dict[str, Any] | None, memory: MemoryEstimate
) -> str:
    """Return the model card in Markdown, with front matter in YAML.

    Args:
        manifest: of the bundle, with the hashes of its files.
        card: of the model.
        evaluation: what `odllm evaluate --save` wrote, if it did.
        memory: estimated.
    """
    environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    template = Path(__file__).with_name("model_card.md.jinja").read_text(encoding="utf-8")
    body = environment.from_string(template).render(
        m=manifest,
        card=card,
        evaluation=evaluation,
        metrics=_metrics(evaluation),
        memory=memory,
        files={name: manifest.files[name] for name in (GRAPH, WEIGHTS, ORT_GRAPH) if name in manifest.files},
    )
    return str(ModelCard(f"---\n{card_data(manifest, card, evaluation).to_yaml()}\n---\n\n{body}"))


def card_data(manifest: Manifest, card: RecommenderCard, evaluation: dict[str, Any] | None) -> ModelCardData:
    """Return the front matter.

    It names no language and no licence: neither is known of a model and a catalogue.
    """
    dataset = card.dataset.get("name", manifest.name)
    metrics = _metrics(evaluation)
    kind = "low-rank" if manifest.model.ranks else "dense"
    return ModelCardData(
        base_model=card.training.get("base_model"),
        datasets=[dataset],
        library_name="onnxruntime",
        metrics=sorted({name.partition("@")[0] for name in metrics}) or None,
        model_name=manifest.name,
        tags=["recommendation", "sequential-recommendation", "on-device", "onnx", manifest.model.precision, kind],
        eval_results=[
            EvalResult(
                task_type="sequential-recommendation",
                dataset_type=dataset,
                dataset_name=dataset,
                dataset_split=str((evaluation or {})["split"]),
                metric_type=name,
                metric_value=value,
            )
            for name, value in metrics.items()
        ]
        or None,
    )


def _metrics(evaluation: dict[str, Any] | None) -> dict[str, float]:
    """Return the measured qualities by name, in the order in which they were written."""
    return {name: float(value) for name, value in (evaluation or {}).items() if _METRIC.match(name)}
