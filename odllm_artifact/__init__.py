"""What every stage of the pipeline shares: folders that appear whole, hashes, errors, progress.

Each stage (`odllm data`, `codes`, `train`, `compress`, `export`, `bench`) reads folders and writes one.
This package holds the few rules that all of those folders follow, and imports nothing heavy.
"""

from odllm_artifact.errors import ArtifactError, OdllmError
from odllm_artifact.folder import partial_folder, resolve_output, write_folder
from odllm_artifact.hashing import sha256_file, sha256_folder
from odllm_artifact.json_file import read_json, write_json
from odllm_artifact.progress import Progress, silent
from odllm_artifact.text_file import resolve_output_file, write_text

__all__ = [
    "ArtifactError",
    "OdllmError",
    "Progress",
    "partial_folder",
    "read_json",
    "resolve_output",
    "resolve_output_file",
    "sha256_file",
    "sha256_folder",
    "silent",
    "write_folder",
    "write_json",
    "write_text",
]
