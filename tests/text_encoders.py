"""A BERT of random weights with a tokenizer of letters: any text has tokens, and its folder loads in no time."""

import json

import torch
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertModel, BertTokenizerFast

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
DIMENSIONS = 32


def write_encoder(folder, *, seed=0, modules=True, pooling="mean_tokens", normalize=True, max_tokens=24):
    """Write a sentence-embedding model's folder; without `modules` only the model and its tokenizer."""
    folder.mkdir(parents=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    tokenizer = BertTokenizerFast(
        tokenizer_object=BertWordPieceTokenizer(str(folder / "vocab.txt"), lowercase=True)._tokenizer
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(words), hidden_size=DIMENSIONS, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=48, max_position_embeddings=64, initializer_range=0.4,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    if modules:
        kinds = ["Transformer", "Pooling", *(["Normalize"] if normalize else [])]
        paths = ["", "1_Pooling", "2_Normalize"]
        parts = [{"type": f"models.{kind}", "path": path} for kind, path in zip(kinds, paths, strict=False)]
        (folder / "modules.json").write_text(json.dumps(parts))
        (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": max_tokens}))
        (folder / "1_Pooling").mkdir()
        flags = {f"pooling_mode_{mode}": mode == pooling for mode in ("cls_token", "mean_tokens", "max_tokens")}
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(flags))
    return folder
