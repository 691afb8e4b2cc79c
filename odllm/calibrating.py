"""The calibration of a recommender's compression: which sequences, and what the model's gradients on them say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import psutil
import torch

from compression.calibration import CalibrationBatch
from compression.checkpoint import load_model
from compression.config import CompressionConfig
from compression.errors import ConfigError
from compression.importance import Allowed, Importance, output_importance
from compression.input_sums import InputSums
from compression.memory_model import MemoryEstimate, checkpoint_memory
from lcrec.calibration import Calibration, CalibrationRequest, choose_calibration
from lcrec.catalog import Catalog
from lcrec.dataset import Dataset, load_dataset
from lcrec.dataset_match import check_codes
from lcrec.evaluate import dataset_catalog
from lcrec.legal_codes import legal_next_codes
from lcrec.model import code_token_ids
from lcrec.prompt import Prompt, read_card
from lcrec.windows import TokenBatch, training_batches
from odllm_artifact import Progress

ProgressBar = Callable[[str], AbstractContextManager[Progress]]
"""Opens a bar with a title, as `odllm.console.progress_bar` does."""

BATCH = 32
"""Calibration sequences a batch."""


class Calibrated:
    """A recommender with the sequences that calibrate its compression; everything is read when it is first asked for.

    Args:
        model_folder: the dense recommender.
        dataset_folder: whose training users calibrate.
        request: which sequences.
        seed: of their choice, and of the tokens that gradients are taken of.
    """

    def __init__(self, model_folder: Path, dataset_folder: Path, request: CalibrationRequest, seed: int = 0) -> None:
        self.model_folder, self.dataset_folder, self.request, self.seed = model_folder, dataset_folder, request, seed
        self._importance: Importance | None = None
        self._inputs: InputSums | None = None

    @cached_property
    def dataset(self) -> Dataset:
        """The dataset, with the item codes that the model speaks."""
        dataset = load_dataset(self.dataset_folder)
        check_codes(self.model_folder, dataset, self.dataset_folder)
        return dataset

    @cached_property
    def prompt(self) -> Prompt:
        """The recommender's prompt."""
        return read_card(self.model_folder).prompt

    @cached_property
    def chosen(self) -> Calibration:
        """The sequences, and the report of their choice.

        Behind the deployed prompt alone: what others a fine-tuned model was trained with, the device never reads.
        """
        return choose_calibration(self.dataset, [self.prompt], self.request, batch_size=BATCH, seed=self.seed)

    @property
    def batches(self) -> list[CalibrationBatch]:
        """The sequences as the algebra takes them."""
        return calibration_batches(self.chosen.batches)

    def memory(self, config: CompressionConfig) -> MemoryEstimate:
        """Return what a compression will need; no weight is looked at."""
        positions = [batch.input_ids.numel() for batch in self.batches]
        return checkpoint_memory(self.model_folder, config, positions=sum(positions), batch_positions=max(positions))

    def check_memory(self, config: CompressionConfig) -> None:
        """Check that the model's gradients fit into the memory that is free.

        Raises:
            ConfigError: they do not.
        """
        weighed = msgspec.structs.replace(config, weigh_outputs=True)
        memory, free = self.memory(weighed), psutil.virtual_memory().available
        needed = memory.importance + memory.gradients
        if needed > free:
            raise ConfigError(
                f"the importance of outputs needs the whole model and its gradients, about {needed / 2**30:.1f} GiB; "
                f"{free / 2**30:.1f} GiB are free. Choose --preset without-gradients, which holds one block at a time."
            )

    def importance(self, progress: ProgressBar, *, reading: bool = False) -> Importance:
        """Return the Fisher information of the projections' outputs; the whole model is in memory meanwhile.

        Args:
            progress: opens a bar.
            reading: let the same pass take what the projections read, for `take_inputs`.

        Raises:
            CompressionError: the model is damaged, or the sequences offer no choice.
        """
        if self._importance is None:
            model = load_model(self.model_folder)
            self._inputs = InputSums(model) if reading else None
            with progress("taking gradients") as bar:
                self._importance = recommender_importance(
                    model,
                    self.batches,
                    dataset_catalog(self.dataset),
                    self.prompt,
                    seed=self.seed,
                    inputs=self._inputs,
                    progress=bar,
                )
        return self._importance

    def take_inputs(self) -> InputSums | None:
        """Return what the projections read in the pass of the gradients, once; None where nobody asked in time."""
        inputs, self._inputs = self._inputs, None
        return inputs


def recommender_importance(
    model: Any,
    batches: Sequence[CalibrationBatch],
    catalog: Catalog,
    prompt: Prompt,
    *,
    seed: int,
    inputs: InputSums | None = None,
    progress: Progress,
) -> Importance:
    """Return the importance of a recommender's outputs for what it chooses: the next code, among those of items."""
    return output_importance(
        model,
        batches,
        code_token_ids(prompt),
        legal_choices(catalog, prompt),
        seed=seed,
        inputs=inputs,
        progress=progress,
    )


def legal_choices(catalog: Catalog, prompt: Prompt) -> Allowed:
    """Return which codes a recommender may choose at every position of a batch."""

    def allowed(batch: CalibrationBatch) -> torch.Tensor:
        real = batch.attention_mask.bool().numpy()
        return torch.from_numpy(legal_next_codes(catalog, prompt, batch.input_ids.numpy(), real))

    return allowed


def sequence_batches(
    dataset: Dataset, prompt: Prompt, size: int, seed: int, sequences: int | None = None, *, left_out: float = 0.0
) -> list[CalibrationBatch]:
    """Return batches of `size` training sequences drawn alike; at most `sequences` of them, all if not given."""
    return calibration_batches(
        training_batches(dataset, prompt, size, seed=seed, max_windows=sequences, left_out=left_out)
    )


def calibration_batches(batches: Sequence[TokenBatch]) -> list[CalibrationBatch]:
    """Return token batches as the algebra takes them."""
    return [CalibrationBatch(torch.from_numpy(b.ids), torch.from_numpy(b.real).long()) for b in batches]
