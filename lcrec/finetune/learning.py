"""What of a model learns: all of it, adapters, or the code tokens' rows; and the plain model that comes out.

PEFT does both: LoRA's adapters on the linears, and rows of a table that learn while the table stays, so that only they
have gradients kept and an optimizer's state.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lcrec.errors import FineTuningError
from lcrec.finetune.code_rows import CodeRows, find_code_rows
from lcrec.finetune.config import FineTuneConfig
from lcrec.finetune.starting import Start

LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The seven linears of a block."""


class Learner:
    """A model of which the recipe's weights receive gradients, in the recipe's type.

    Args:
        start: its model is changed in place.
        config: the recipe.
        in_bfloat16: whether products are computed in bfloat16; without, what does not learn is read in float32 too.

    Raises:
        FineTuningError: the recipe needs PEFT, which is not installed.
    """

    def __init__(self, start: Start, config: FineTuneConfig, *, in_bfloat16: bool) -> None:
        self._base, self._start = start.model, start
        self._type = start.model.dtype
        self._tuner: Any = None
        if not in_bfloat16:  # nothing casts what products read: types must not mix
            start.model.float()
        elif self._type == torch.float16:  # autocast joins rows that learn with float32 or bfloat16 ones only
            for table in _tables(start.model):
                table.float()
        if config.learning == "full":
            start.model.requires_grad_(True)
        else:
            self._tuner = _tuner(start, config)
        for weight in self.parameters:
            weight.data = weight.data.to(getattr(torch, config.weights))

    @property
    def model(self) -> Any:
        """The model as it computes: adapters stand in the place of its linears."""
        return self._base if self._tuner is None else self._tuner.get_base_model()

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The weights that learn, each once."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def new_rows(self, model: Any) -> list[CodeRows]:
        """Return the code tokens' rows in `model`, this one or its shards, if they were never trained; else none."""
        start = self._start
        return [] if start.trained else find_code_rows(model, start.first_code_token, start.code_rows)

    def write_adapter(self, folder: Path) -> None:
        """Write what PEFT added, and embedding and head if they learned, as PEFT reads it; nothing of a full model."""
        if self._tuner is not None:
            whole = any(table.weight.requires_grad for table in _tables(self.model))
            self._tuner.save_pretrained(folder, save_embedding_layers=whole)

    def merged(self) -> Any:
        """Return the plain model, in the type of its base; adapters are merged into it and gone."""
        plain = self._base if self._tuner is None else self._tuner.merge_and_unload()
        return plain.to(self._type).requires_grad_(True)


def total_parameters(model: nn.Module) -> tuple[int, int]:
    """Return how many weights learn and how many there are, what is tied counted once."""
    weights = list(model.parameters())
    return sum(weight.numel() for weight in weights if weight.requires_grad), sum(weight.numel() for weight in weights)


def require_peft(config: FineTuneConfig) -> None:
    """Check that what the recipe needs is installed.

    Raises:
        FineTuningError: it is not.
    """
    if config.learning != "full" and find_spec("peft") is None:
        raise FineTuningError(
            f"learning: {config.learning} needs PEFT, which is not installed. Install it with: "
            "pip install 'odllm[finetune]', or choose learning: full."
        )


def _tuner(start: Start, config: FineTuneConfig) -> Any:
    """Return PEFT's model around the start's."""
    require_peft(config)
    from peft import get_peft_model

    rows = list(range(start.first_code_token, start.first_code_token + start.code_rows))
    torch.manual_seed(config.seed)  # the adapters' first values
    with _no_words_on_ties():
        tuner = get_peft_model(start.model, _peft_config(start.model, rows, config))
    if config.learning == "lora" and config.embeddings == "all":
        for table in _tables(start.model):
            table.weight.requires_grad_(True)
    return tuner


def _peft_config(model: Any, rows: list[int], config: FineTuneConfig) -> Any:
    from peft import LoraConfig, TrainableTokensConfig

    tables = [_name_of(model, table) for table in _tables(model)]
    if config.learning == "new-rows":
        return TrainableTokensConfig(target_modules=tables, token_indices=rows)
    return LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules=list(LINEARS),
        trainable_token_indices=dict.fromkeys(tables, rows) if config.embeddings == "new-rows" else None,
    )


@contextmanager
def _no_words_on_ties() -> Iterator[None]:
    """Leave out PEFT's doubts about tied tables, which it does tie where rows learn, and its own old-fashioned call."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Model has `tie_word_embeddings=True`")
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
        yield


def _tables(model: Any) -> list[nn.Module]:
    """Return the embedding, and the head if it is a matrix of its own."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    return [embedding] if head.weight is embedding.weight else [embedding, head]


def _name_of(model: nn.Module, wanted: nn.Module) -> str:
    return next(name for name, module in model.named_modules() if module is wanted).rpartition(".")[2]
