"""Compress a folder in a process of its own, telling on standard output how far it is.

python compress_worker.py SOURCE OUT
"""

import sys
from pathlib import Path

import torch

from compression.calibration import CalibrationBatch
from compression.config import CompressionConfig
from compression.processes import joined_processes, write_folder_once
from compression.streaming import compress_checkpoint
from odllm_artifact import partial_folder


def main(source, out):
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(3)
    batches = []
    for length in (12, 9, 14, 7, 11):
        ids = torch.randint(1, 61, (8, length), generator=generator)
        mask = torch.ones_like(ids)
        mask[-1, length // 2 :] = 0
        batches.append(CalibrationBatch(ids, mask))
    with joined_processes(), write_folder_once(out) as folder:
        compress_checkpoint(
            source,
            folder,
            batches,
            CompressionConfig(),
            work_folder=partial_folder(out) / "blocks",
            progress=lambda *said: print(*said, flush=True),
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
