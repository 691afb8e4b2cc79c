"""What tests of fine-tuning share: a tiny pretrained model's folder, a dataset, a quick recipe."""

import msgspec
import torch
from small_tokenizers import small_tokenizer
from transformers import AutoConfig, AutoModelForCausalLM

from lcrec.finetune.config import FineTuneConfig
from lcrec.finetune.job import Job

QUICK = FineTuneConfig(
    epochs=2,
    learning_rate=3e-3,
    batch_tokens=400,
    device_tokens=200,
    validation_users=20,
    precision="fp32",
    checkpoint_minutes=1000.0,
)


def write_base(folder, *, dtype=torch.float32, seed=0, **changes):
    """Write a random model with a byte-pair tokenizer, as a model hub has them; return its name."""
    tokenizer = small_tokenizer(add_codes=False)
    options = {
        "model_type": "llama",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "vocab_size": len(tokenizer),
        "tie_word_embeddings": True,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": None,
    }
    torch.manual_seed(seed)
    AutoModelForCausalLM.from_config(AutoConfig.for_model(**(options | changes))).to(dtype).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


EVERY_STEP = {"checkpoint_minutes": 0.0}
"""Changes of a recipe that has a checkpoint after every step."""


def make_job(base, dataset, **changes):
    """Return a quick job; every family is taken."""
    return Job(base, dataset, msgspec.structs.replace(QUICK, **changes), lambda config: None)
