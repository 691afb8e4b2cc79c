"""The bundle's MODEL_CARD.md: what it is, what it was trained on, what was measured, its limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from lcrec.prompt import RecommenderCard
from odllm_export.bundle import Manifest


def model_card(manifest: Manifest, card: RecommenderCard, evaluation: dict[str, Any] | None) -> str:
    """Return the model card in Markdown."""
    environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    template = Path(__file__).with_name("model_card.md.jinja").read_text(encoding="utf-8")
    return environment.from_string(template).render(m=manifest, card=card, evaluation=evaluation)
