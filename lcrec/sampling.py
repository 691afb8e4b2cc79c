"""Fewer users, the same items and codes: a dataset small enough for a trial, and fair to everything trained on it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np

from lcrec import dataset_files as files
from lcrec.dataset import Dataset
from lcrec.errors import DatasetError
from odllm_artifact import write_folder


def sample_users(dataset: Dataset, users: int, seed: int) -> Dataset:
    """Return a dataset of `users` users drawn at random, in their order; the same items.

    Raises:
        DatasetError: there are fewer.
    """
    if users > len(dataset.users):
        raise DatasetError(f"{users} users were asked for; {dataset.name} has {len(dataset.users)}")
    if users == len(dataset.users):
        return dataset
    chosen = np.sort(np.random.default_rng(seed).permutation(len(dataset.users))[:users])
    ids = tuple(dataset.users[i] for i in chosen)
    return dataclasses.replace(
        dataset,
        users=ids,
        sequences=tuple(dataset.sequences[i] for i in chosen),
        user_texts={user: dataset.user_texts[user] for user in ids if user in dataset.user_texts},
    )


def save_sample(sample: Dataset, source: Path, out: Path, *, overwrite: bool = False) -> None:
    """Write the folder of a sample: items, codes and quantizer as they are at `source`, to the byte.

    Args:
        sample: of the dataset at `source`.
        source: the folder it was read from.
        out: where; another folder.
        overwrite: replace a folder that is there.

    Raises:
        ArtifactError: something is at `out` already, or it cannot be written.
    """
    header = files.read_header(source / "dataset.json")
    header.name = sample.name
    header.counts.users, header.counts.interactions = len(sample.users), sample.interactions
    header.counts.user_texts = len(sample.user_texts)
    with write_folder(out, overwrite=overwrite) as staging:
        shutil.copytree(source, staging, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.partial", ".*"))
        files.write_header(staging / "dataset.json", header)
        files.write_sequences(staging / "sequences.jsonl", sample.users, sample.sequences, sample.item_ids)
        if sample.user_texts:
            files.write_user_texts(staging / "user_texts.jsonl", sample.user_texts)
        else:
            (staging / "user_texts.jsonl").unlink(missing_ok=True)
