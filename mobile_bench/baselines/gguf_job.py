"""Writes a benchmark model as GGUF, in llama.cpp's environment, where the packages for it are.

`python -P foreign.py mobile_bench.baselines.gguf_job MODEL OUT f32|f16|q8_0`
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mobile_bench.errors import BenchError
from odllm_artifact import read_json, write_folder

FILE_NAME = "model.gguf"

_BLOCK = "model.layers."
_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
    "input_layernorm.weight": "attn_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight",
    "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.o_proj.weight": "attn_output.weight",
    "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight",
    "mlp.down_proj.weight": "ffn_down.weight",
}
"""Names of llama.cpp, by those of transformers behind the block's number."""


def write_gguf(model: Path, out: Path, kind: str) -> None:
    """Write a dense LLaMA model folder as `out/model.gguf`, without a tokenizer.

    Args:
        model: folder with config.json and model.safetensors.
        out: folder to write, replaced if it is there.
        kind: of matrices: `f32`, `f16` or `q8_0`; vectors stay in single precision.

    Raises:
        BenchError: the model has a tensor that LLaMA's architecture has not, factors for example.
    """
    import gguf
    from safetensors import safe_open

    config = read_json(model / "config.json")
    heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}
    stored = gguf.GGMLQuantizationType[kind.upper()]
    with write_folder(out, overwrite=True) as folder, safe_open(model / "model.safetensors", "numpy") as tensors:
        writer = gguf.GGUFWriter(folder / FILE_NAME, "llama")
        _describe(writer, config, gguf.LlamaFileType[_FILE_TYPES[kind]])
        for name in tensors.keys():  # noqa: SIM118 — not a mapping
            values = tensors.get_tensor(name).astype(np.float32)
            part = name.rsplit(".", 2)[-2]
            if part in heads:
                values = interleave_rotary(values, heads[part])
            if values.ndim == 1:
                writer.add_tensor(gguf_name(name), values)
            else:
                writer.add_tensor(gguf_name(name), gguf.quants.quantize(values, stored), raw_dtype=stored)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def gguf_name(name: str) -> str:
    """Return llama.cpp's name of a tensor.

    Raises:
        BenchError: it has none.
    """
    block, rest = "", name
    if name.startswith(_BLOCK):
        number, _, rest = name.removeprefix(_BLOCK).partition(".")
        block = f"blk.{number}."
    if rest not in _NAMES:
        raise BenchError(f"tensor {name!r} has no place in GGUF's LLaMA; a dense model without biases is needed")
    return block + _NAMES[rest]


def interleave_rotary(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Reorder rows `[heads · size, hidden]` of queries or keys for rotations of neighbours.

    transformers rotates row i of a head with row i + size/2, llama.cpp row 2i with row 2i + 1.
    """
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, columns))


_FILE_TYPES = {"f32": "ALL_F32", "f16": "MOSTLY_F16", "q8_0": "MOSTLY_Q8_0"}


def _describe(writer: Any, config: dict[str, Any], file_type: Any) -> None:
    """Write what llama.cpp has to know of the architecture; ids go in and logits come out, so no tokenizer."""
    head_size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    rope = config.get("rope_parameters") or {}
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(head_size)
    writer.add_value_length(head_size)
    writer.add_rope_dimension_count(head_size)
    writer.add_rope_freq_base(rope.get("rope_theta", config.get("rope_theta", 10_000.0)))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_file_type(file_type)
    writer.add_tokenizer_model("none")


if __name__ == "__main__":
    write_gguf(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
