"""Where an execution provider is to be had, and the folder that those which are not beside us lie in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import msgspec

FOLDER_VARIABLE = "ODLLM_PROVIDERS"

State = Literal["installed", "environment", "installable", "elsewhere"]


class ProviderState(msgspec.Struct, frozen=True):
    """Where a provider is to be had.

    Attributes:
        provider: by the command line's name.
        state: `installed` beside us, in an `environment`, `installable` into one, or only `elsewhere`.
        where: the environment, or words on where to get it.
    """

    provider: str
    state: State
    where: str


def environments_folder() -> Path:
    """Return where environments lie: `$ODLLM_PROVIDERS`, or a folder in the user's cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named).absolute()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "odllm" / "providers"
