"""The decoder's weights in the graph, and the exact cut of its vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import helper

from lcrec.prompt import Prompt
from odllm_export.families.decoder import Decoder
from odllm_export.graph.blocks import Block, Loader, load_block
from odllm_export.graph.builder import IR_VERSION, OPSET, GraphBuilder
from odllm_export.graph.storage import MICROSOFT, Storage, Stored
from odllm_export.tensors import ModelTensors

EMBEDDING = "model.embed_tokens.weight"
HEAD = "lm_head.weight"
NORM = "model.norm.weight"


@dataclass(frozen=True)
class Vocabulary:
    """Which rows of the embedding and the head the graph keeps.

    Attributes:
        embedding_rows: token ids in the order of the graph's rows; empty if all are kept in place.
        code_offset: row of code row 0.
    """

    embedding_rows: tuple[int, ...]
    code_offset: int

    @classmethod
    def for_scoring(cls, prompt: Prompt, scoring: str) -> Vocabulary:
        """Return the exact cut: `vocab` needs every logit, `codes` only the code tokens and the prompt's words.

        Code tokens come first, so that code rows are rows of the cut head.
        """
        if scoring == "vocab":
            return cls((), prompt.first_code_token)
        codes = range(prompt.first_code_token, prompt.first_code_token + prompt.code_rows)
        words = sorted({*prompt.prefix_ids, *prompt.separator_ids, *prompt.suffix_ids} - set(codes))
        return cls((*codes, *words), 0)

    def rows(self, token_ids: tuple[int, ...]) -> list[int]:
        """Return the rows of token ids."""
        if not self.embedding_rows:
            return list(token_ids)
        row_of = {token: row for row, token in enumerate(self.embedding_rows)}
        return [row_of[token] for token in token_ids]


@dataclass(frozen=True)
class Weights:
    """All weights of the decoder in the graph; `rotary` are cosines and sines."""

    storage: Storage
    embedding: Stored
    blocks: list[Block]
    norm: str
    head: Stored
    rotary: tuple[str, str]


def finish_model(graph: onnx.GraphProto, opset: int = OPSET, ir_version: int = IR_VERSION) -> onnx.ModelProto:
    """Return a model of a graph, with the operator sets that it uses."""
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid(MICROSOFT, 1)],
        ir_version=ir_version,
        producer_name="odllm",
    )


def load_weights(
    graph: GraphBuilder,
    tensors: ModelTensors,
    decoder: Decoder,
    vocabulary: Vocabulary,
    storage: Storage,
    *,
    positions: int,
    all_rows: bool = False,
    stacked: bool = True,
) -> Weights:
    """Stream all weights, one matrix in memory at a time.

    Args:
        graph: where they go.
        tensors: where they come from.
        decoder: shape.
        vocabulary: which rows of embedding and head are kept.
        storage: how matrices are stored.
        positions: rows of the rotary tables.
        all_rows: whether every row goes through the whole last block (`blocks.load_block`).
        stacked: whether projections of one input share a product (`blocks.load_block`).
    """
    loader = Loader(graph, tensors, storage)

    def table(name: str) -> Stored:
        shape = (decoder.vocabulary, decoder.hidden)
        return storage.table(graph, name, tensors.take(name, shape, rows=vocabulary.embedding_rows))

    embedding = table(EMBEDDING)
    cosines, sines = decoder.rotary_caches(positions)
    return Weights(
        storage=storage,
        embedding=embedding,
        blocks=[
            load_block(loader, decoder, index, all_rows=all_rows, stacked=stacked) for index in range(decoder.layers)
        ],
        norm=loader.vector(NORM, decoder.hidden),
        head=embedding if decoder.tied else table(HEAD),
        rotary=(graph.weight("rotary.cosines", cosines), graph.weight("rotary.sines", sines)),
    )
