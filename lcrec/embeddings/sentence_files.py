"""What the files of a sentence-transformers folder say beside the weights: pooling, length, normalisation.

    modules.json                 the parts in order: Transformer, Pooling, and Normalize where there is one
    1_Pooling/config.json        how the states of the tokens become one vector
    sentence_bert_config.json    the tokens that are read at most

A folder without them is read as a plain encoder: the mean of its states, not normalised.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from lcrec.errors import ModelError
from odllm_artifact import read_json

Pooling = Literal["mean", "cls", "max", "last"]
"""How the states of a text's tokens become one vector."""

_OLD_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "last",
}
_NEW_NAMES = {"lasttoken": "last"}


@dataclass(frozen=True)
class SentenceSettings:
    """How an encoder's states become the vector of a text.

    Attributes:
        pooling: over the tokens.
        normalize: scale the vector to length one.
        max_tokens: tokens read at most, special ones included; None: what the model can read.
    """

    pooling: Pooling = "mean"
    normalize: bool = False
    max_tokens: int | None = None


def is_sentence_folder(folder: Path) -> bool:
    """Whether a model folder says how sentences are embedded."""
    return (folder / "modules.json").is_file()


def read_sentence_settings(folder: Path) -> SentenceSettings:
    """Read the settings of a model folder; plain mean pooling where it has no `modules.json`.

    Raises:
        ModelError: a part or a pooling that is not known here.
        ArtifactError: a file is damaged.
    """
    if not is_sentence_folder(folder):
        return SentenceSettings()
    pooling: Pooling = "mean"
    normalize = False
    for module in read_json(folder / "modules.json"):
        kind = str(module.get("type", "")).rsplit(".", 1)[-1]
        if kind == "Pooling":
            pooling = _pooling(folder / module["path"] / "config.json")
        elif kind == "Normalize":
            normalize = True
        elif kind != "Transformer":
            raise ModelError(f"{folder / 'modules.json'} has a part {kind}; only Pooling and Normalize can follow")
    path = folder / "sentence_bert_config.json"
    longest = read_json(path).get("max_seq_length") if path.is_file() else None
    return SentenceSettings(pooling, normalize, None if longest is None else int(longest))


def _pooling(path: Path) -> Pooling:
    config: dict[str, Any] = read_json(path)
    named = config.get("pooling_mode")
    chosen = [named] if named else [key for key, on in config.items() if key.startswith("pooling_mode_") and on]
    words = [_OLD_FLAGS.get(word, _NEW_NAMES.get(word, word)) for word in chosen]
    if len(words) != 1 or words[0] not in get_args(Pooling):
        raise ModelError(f"{path} asks for the pooling {words}; one of {', '.join(get_args(Pooling))} is needed")
    return words[0]  # type: ignore[return-value]
