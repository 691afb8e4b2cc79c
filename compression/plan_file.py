"""A rank plan as a file: one line a projection, made to be edited by hand and fed back.

It says which model it is for by the shapes of all projections and a hash of the configuration, and what made it. A rank
is a whole number below the break-even, or the word `dense`. What budget and allocation say is a record: after an edit
the ranks count.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import msgspec

from compression.allocation import RankPlan, check_plan, few
from compression.config import Allocation
from compression.costs import Currency, Shape
from compression.errors import RankError
from compression.pipeline import unit_shapes
from odllm_artifact import read_json, write_json

PLAN_SCHEMA_VERSION = 1
PLAN_FILE = "plan.json"

_VOLATILE = ("_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version", "use_cache")
"""What differs between copies of one model's configuration."""


class PlanModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which model a plan is for.

    Attributes:
        model_type: as transformers calls the family.
        config_sha256: of its configuration; None fits every model of the same shapes.
    """

    model_type: str
    config_sha256: str | None = None


class PlanBudget(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was spent.

    Attributes:
        currency: parameters, bytes or latency.
        keep_ratio: kept ÷ original cost of all projections, as asked for.
        dense_cost: of all projections dense: parameters, bytes, or microseconds of a call.
        plan_cost: of all projections under the plan as it was made.
        precision: how weights are stored, for bytes and latency.
    """

    currency: Currency
    keep_ratio: float
    dense_cost: float
    plan_cost: float
    precision: str = ""


class PlanAllocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How it was spent.

    Attributes:
        method: uniform, energy or sensitivity.
        rank_multiple: ranks are multiples of this.
        rank_floor: no rank below this.
        dense: patterns of projections that were to stay dense.
        tokens: of the calibration that the spectra come from; 0 for uniform.
        probe_tokens: positions over which the sensitivity was taken.
        seconds: it took to measure spectra and sensitivity.
    """

    method: Allocation
    rank_multiple: int = 1
    rank_floor: int = 1
    dense: tuple[str, ...] = ()
    tokens: int = 0
    probe_tokens: int = 0
    seconds: float = 0.0


class PlanFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Content of a plan file.

    Attributes:
        model: which model it is for.
        budget: what was spent.
        allocation: how.
        ranks: of every projection, or `dense`.
        shapes: (m, n) of every projection.
        schema_version: of this file.
    """

    model: PlanModel
    budget: PlanBudget
    allocation: PlanAllocation
    ranks: dict[str, int | Literal["dense"]]
    shapes: dict[str, Shape]
    schema_version: int = PLAN_SCHEMA_VERSION

    def plan(self) -> RankPlan:
        """Return the plan, not checked against a model."""
        ranks = {name: rank for name, rank in self.ranks.items() if rank != "dense"}
        return RankPlan(self.shapes, ranks, self.budget.keep_ratio)


def make_plan_file(model: Any, plan: RankPlan, budget: PlanBudget, allocation: PlanAllocation) -> PlanFile:
    """Return the file of a plan for a dense model."""
    return PlanFile(
        PlanModel(model.config.model_type, config_sha256(model.config)),
        budget,
        allocation,
        {name: plan.ranks.get(name, "dense") for name in plan.shapes},
        dict(plan.shapes),
    )


def config_sha256(config: Any) -> str:
    """Return a hash of a transformers configuration, without what differs between copies of one model."""
    facts = {key: value for key, value in config.to_dict().items() if key not in _VOLATILE}
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def write_plan(file: PlanFile, path: Path) -> None:
    """Write a plan file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, msgspec.to_builtins(file))


def read_plan(path: Path) -> PlanFile:
    """Return the content of a plan file; whether it fits a model is `plan_for_model`'s to say.

    Raises:
        ArtifactError: it is missing or not JSON.
        RankError: it is no plan, of another version, or a rank is neither a whole number nor `dense`.
    """
    content = read_json(path)
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != PLAN_SCHEMA_VERSION:
        raise RankError(
            f"{path} is no plan file: schema_version is {version!r}, expected {PLAN_SCHEMA_VERSION}. "
            "Make one with `odllm compress --dry-run --write-plan FILE`."
        )
    try:
        return msgspec.convert(content, PlanFile)
    except msgspec.ValidationError as error:
        raise RankError(f'{path}: {error}. A rank is a whole number, or "dense".') from error


def plan_for_model(file: PlanFile, model: Any, path: Path) -> RankPlan:
    """Return the plan of a file, checked against a dense model; whether input factors are shared is the file's to say.

    Raises:
        RankError: it is for another model, a projection is unknown or missing, or a rank does not pay.
        UnsupportedModelError: the model is not of the LLaMA family, or is compressed already.
    """
    shapes = unit_shapes(model, shared=any("+" in name for name in file.ranks))
    wrong = [f"{name} is unknown{_nearest(name, shapes)}" for name in file.ranks if name not in shapes]
    wrong += [f"{name} has no rank" for name in shapes if name not in file.ranks]
    if wrong:
        raise RankError(f'{path}: {few(wrong)}. Name every projection of the model, with a rank or as "dense".')
    try:
        plan = check_plan(file.plan(), shapes)
    except RankError as error:
        raise RankError(f"{path}: {error}") from error
    made_for, found = file.model.config_sha256, config_sha256(model.config)
    if made_for not in (None, found):
        raise RankError(
            f"{path} was made for a model of another configuration (config_sha256 {made_for}, this one has {found}). "
            "Make a plan for this model, or set config_sha256 to null if the ranks are meant for both."
        )
    return plan


def _nearest(name: str, names: dict[str, Shape]) -> str:
    found = difflib.get_close_matches(name, names, n=1)
    return f" (did you mean {found[0]}?)" if found else ""
