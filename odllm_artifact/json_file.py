"""JSON files read with words when they are damaged, and written whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from odllm_artifact.errors import ArtifactError
from odllm_artifact.text_file import write_text


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ArtifactError: it is missing, unreadable, not UTF-8 or not JSON; the message names the line and column.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ArtifactError(f"{path} is not UTF-8 text (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise ArtifactError(
            f"{path} is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}. "
            "The file may be truncated; fetch or make it again."
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; the file is replaced in one step, never half-written."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
