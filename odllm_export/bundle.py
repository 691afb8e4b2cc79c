"""The bundle: a folder that a phone opens. Its manifest, its hashes, and the checks before anything is loaded.

Light on purpose: this module is what the benchmark and the runtime read, without torch or onnx.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

import msgspec

from lcrec.prompt import Prompt
from odllm_artifact import read_json, sha256_file, write_json
from odllm_export.errors import BundleError

SCHEMA_VERSION = 2
MANIFEST = "manifest.json"
GRAPH = "recommend.onnx"
WEIGHTS = "recommend.onnx.data"
CATALOG = "catalog.bin"
ITEMS = "items.jsonl"
GOLDEN = "golden.json"
MODEL_CARD = "MODEL_CARD.md"
PREFILL = "prefill.onnx"
STEP = "step.onnx"
ORT_GRAPH = "recommend.ort"
REQUIRED_OPERATORS = "recommend.required_operators.config"

FORM_FILES: dict[str, tuple[str, ...]] = {
    "loop": (GRAPH, WEIGHTS),
    "unrolled": (GRAPH, WEIGHTS),
    "steps": (PREFILL, STEP, WEIGHTS),
}
"""The graph's files by its form; the first ones are the graphs, the last one holds their weights."""


class FileFact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of the bundle: its size and SHA-256."""

    bytes: int
    sha256: str


class ModelFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the graph computes.

    Attributes:
        family: transformers' `model_type`.
        layers: decoder blocks.
        hidden: width of the hidden state.
        heads: query heads.
        kv_heads: key and value heads.
        parameters: of the model as it was trained or compressed, tied tensors counted once.
        keep_ratio: kept ÷ original parameters of the factored matrices; 1 for a dense model.
        ranks: rank of each factored linear by its module name; empty for a dense model.
        precision: of the stored weights, such as `fp32`.
    """

    family: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    parameters: int
    keep_ratio: float
    ranks: dict[str, int]
    precision: str


class SearchFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the graph searches.

    Attributes:
        num_beams: beams kept a level.
        top_k: items returned unless a call asks for fewer or more (at most `num_beams`).
        constraint: `trie`.
        scoring: `vocab` (log-softmax over the whole vocabulary) or `codes` (over a node's live children).
        ahead: the most children of all beams that are run in one pass with their parents.
    """

    num_beams: int
    top_k: int
    constraint: str
    scoring: str
    ahead: int


class FixedSizes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The sizes that the graphs of form `steps` are made for.

    Attributes:
        chunk: tokens of the prompt that `prefill.onnx` runs at once.
        columns: tokens whose keys and values either graph reads.
    """

    chunk: int
    columns: int


class GraphFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a runtime must support.

    Attributes:
        form: `loop`, `unrolled` or `steps`.
        opset: of the standard ONNX domain.
        onnxruntime: oldest version of ONNX Runtime that runs it.
        embedding_rows: token id of each row that is left of the embedding; empty if none was pruned.
        kv_cache: `[layers, 2, kv_heads, head_size]`: the sizes of the cache's axes but the tokens'.
        prefix_tokens: tokens of the prompt's prefix whose keys and values are stored in the graph.
        prepack: whether the runtime should repack the weights at load: faster, but a second copy in memory.
        fixed: the sizes of form `steps`; none in the others.
    """

    form: str
    opset: int
    onnxruntime: str
    embedding_rows: list[int]
    kv_cache: list[int]
    prefix_tokens: int
    prepack: bool
    fixed: FixedSizes | None = None


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`manifest.json`."""

    name: str
    files: dict[str, FileFact]
    model: ModelFacts
    prompt: Prompt
    search: SearchFacts
    graph: GraphFacts
    items: int
    expected_peak_memory_bytes: int
    provenance: dict[str, str]
    schema_version: int = SCHEMA_VERSION


def file_facts(folder: Path, names: list[str]) -> dict[str, FileFact]:
    """Return size and hash of the named files."""
    return {name: FileFact((folder / name).stat().st_size, sha256_file(folder / name)) for name in names}


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write `manifest.json`: the last file of a bundle."""
    write_json(folder / MANIFEST, msgspec.to_builtins(manifest))


def read_manifest(folder: Path) -> Manifest:
    """Read and check a bundle's manifest, not yet its files.

    Raises:
        BundleError: no bundle, a newer schema, or a damaged manifest.
    """
    if not (folder / MANIFEST).is_file():
        raise BundleError(f"{folder} is not a bundle: it has no {MANIFEST}. `odllm export` makes bundles.")
    value = read_json(folder / MANIFEST)
    version = value.get("schema_version") if isinstance(value, dict) else None
    if version != SCHEMA_VERSION:
        raise BundleError(
            f"{folder / MANIFEST} has schema version {version}; this version of odllm reads {SCHEMA_VERSION}. "
            "Update odllm, or export the bundle again."
        )
    try:
        return msgspec.convert(value, Manifest)
    except msgspec.ValidationError as error:
        raise BundleError(f"{folder / MANIFEST} is damaged: {error}. Export the bundle again.") from error


def check_files(folder: Path, manifest: Manifest) -> None:
    """Compare every file of a bundle with the manifest, sizes first because they cost nothing.

    Raises:
        BundleError: a file is missing, of another size, or of other content, and the message names it; or the graph's
            form is unknown.
    """
    if manifest.graph.form not in FORM_FILES:
        raise BundleError(
            f"{folder / MANIFEST} has a graph of form {manifest.graph.form!r}; this version of odllm runs "
            f"{', '.join(FORM_FILES)}. Update odllm, or export the bundle again."
        )
    for name, fact in manifest.files.items():
        path = folder / name
        if "/" in name or not path.is_file():
            raise BundleError(f"{folder} lacks {name}, which its manifest names. Copy the whole folder again.")
        size = path.stat().st_size
        if size != fact.bytes:
            raise BundleError(f"{path} has {size} bytes, the manifest says {fact.bytes}. Copy the bundle again.")
    for required in (*FORM_FILES[manifest.graph.form], CATALOG, ITEMS):
        if required not in manifest.files:
            raise BundleError(f"{folder / MANIFEST} does not name {required}. Export the bundle again.")
    for name, fact in manifest.files.items():
        if sha256_file(folder / name) != fact.sha256:
            raise BundleError(
                f"{folder / name} is damaged: its SHA-256 is not the manifest's {fact.sha256[:12]}…. "
                "Copy the bundle again."
            )


def bundle_bytes(folder: Path, manifest: Manifest) -> int:
    """Return the bytes on disk of the files a phone needs, the manifest included."""
    return sum(fact.bytes for fact in manifest.files.values()) + (folder / MANIFEST).stat().st_size


class ItemRow(TypedDict):
    """One line of the item table."""

    id: str
    title: str


def read_items(folder: Path) -> list[ItemRow]:
    """Return the item table, `{"id", "title"}` by row.

    Raises:
        BundleError: a line is not an item; the message names it.
    """
    items, decoder = [], msgspec.json.Decoder(ItemRow)
    with (folder / ITEMS).open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                items.append(decoder.decode(line))
            except msgspec.DecodeError as error:
                raise BundleError(f"{folder / ITEMS}, line {number}, is not an item: {line[:80]!r}") from error
    return items
