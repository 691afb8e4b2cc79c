"""How torch and transformers behave inside the program: a fixed number of threads, no chatter."""

from __future__ import annotations

import torch
import transformers


def set_up_torch(threads: int) -> None:
    """Fix the threads and silence transformers' own progress bars."""
    torch.set_num_threads(threads)
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
