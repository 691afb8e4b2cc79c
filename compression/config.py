"""What to do to a model, as one record; the named recipes are one line each."""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec

from compression.alignment import Alignment
from compression.allocation import Budget
from compression.costs import PARAMETERS, Costs
from compression.errors import ConfigError

Allocation = Literal["uniform", "energy", "sensitivity", "importance"]

ALIGNMENTS: tuple[str, ...] = get_args(Alignment)
ALLOCATIONS: tuple[str, ...] = get_args(Allocation)


class CompressionConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of a compression. The defaults take no gradients; `PRESETS` has the best measured recipe and the others.

    Attributes:
        keep_ratio: kept ÷ original parameters of the seven projections of all blocks; 1 leaves them dense.
        alignment: `free`, `alternating`, `update` or `none` (see `compression.alignment`).
        sweeps: of `alternating`.
        alpha: 1 aims at the dense model's activations, 0 at the dense weight on the shifted inputs.
        residual_targets: aim o and down at the dense residual stream, so that they repair its drift too.
        normalize: whiten by the covariance of the inputs; false is plain SVD.
        route: how: `cholesky` (falls back to `eigen` on a singular covariance), `eigen`, or `gram`, which needs no
            inverse and gives the same factors.
        shrinkage: added to the covariance's diagonal relative to its mean eigenvalue, and the pull of the
            alignment towards the dense weights.
        scarcity: more of it where tokens are few: scarcity · inputs ÷ tokens on top of `shrinkage`.
        weigh_outputs: weigh errors by the importance of the outputs (`compression.importance`); the gradients need the
            whole model in memory.
        shared_inputs: one input factor for q, k and v, and one for gate and up, whose ranks are then those of the
            stacked matrices: more of them within the same budget.
        allocation: where the budget goes: `uniform`, or `energy`, `sensitivity` or `importance`, which make a plan from
            measurements (`compression.sensitivity`).
        rank_multiple: ranks are multiples of this.
        rank_floor: no rank below this.
        dense: patterns of projections that stay dense, paid for by the others.

    Raises:
        KeepRatioError: `keep_ratio` is not in (0, 1].
        ConfigError: another option is out of range, or two contradict each other.
    """

    keep_ratio: float = 0.5
    alignment: Alignment = "free"
    sweeps: int = 4
    alpha: float = 1.0
    residual_targets: bool = True
    normalize: bool = True
    route: Literal["cholesky", "eigen", "gram"] = "cholesky"
    shrinkage: float = 1e-4
    scarcity: float = 0.1
    weigh_outputs: bool = False
    shared_inputs: bool = False
    allocation: Allocation = "uniform"
    rank_multiple: int = 1
    rank_floor: int = 1
    dense: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.budget()  # checks the keep ratio and the steps of the ranks
        if self.alignment not in ALIGNMENTS:
            raise ConfigError(f"alignment is {self.alignment!r}; expected one of {', '.join(ALIGNMENTS)}")
        if self.route not in ("cholesky", "eigen", "gram"):
            raise ConfigError(f"route is {self.route!r}; expected cholesky, eigen or gram")
        if self.allocation not in ALLOCATIONS:
            raise ConfigError(f"allocation is {self.allocation!r}; expected one of {', '.join(ALLOCATIONS)}")
        if self.sweeps < 1:
            raise ConfigError(f"sweeps is {self.sweeps}; expected at least 1")
        if not 0 <= self.alpha <= 1:
            raise ConfigError(f"alpha is {self.alpha}; expected 0 to 1")
        if not 0 <= self.shrinkage <= 1:
            raise ConfigError(f"shrinkage is {self.shrinkage}; expected 0 to 1, 1e-6 to 1e-2 as a rule")
        if not 0 <= self.scarcity <= 1:
            raise ConfigError(f"scarcity is {self.scarcity}; expected 0 to 1")
        if self.alignment == "free" and not self.normalize:
            raise ConfigError(
                "alignment 'free' solves in whitened inputs and cannot go without normalize. "
                "Choose alignment 'update' or 'none', or normalize."
            )
        if self.alignment == "free" and self.route == "gram":
            raise ConfigError(
                "alignment 'free' needs the inverse of a covariance, which route 'gram' does without. "
                "Choose route 'cholesky' or 'eigen', or another alignment."
            )

    def shrinkage_of(self, columns: int, tokens: int) -> float:
        """Return what is added to the diagonal of a covariance of so many inputs, relative to its mean eigenvalue.

        Few tokens per unknown make the solution fit noise (measured: without `scarcity`, 400 tokens for 352 inputs were
        worse than plain SVD; with it they beat it). It fades away as the calibration grows.
        """
        return self.shrinkage + self.scarcity * columns / tokens

    def budget(self, costs: Costs = PARAMETERS) -> Budget:
        """Return what the ranks may cost together, in the currency of `costs`."""
        return Budget(self.keep_ratio, self.rank_multiple, self.rank_floor, self.dense, costs)


_PAPER = {"alignment": "update", "alpha": 1.0, "residual_targets": False, "shrinkage": 1e-6, "scarcity": 0.0}

PRESETS: dict[str, dict[str, Any]] = {
    "default": {"weigh_outputs": True, "shared_inputs": True, "allocation": "importance"},
    "without-gradients": {"shared_inputs": True},
    "paper": _PAPER,
    "paper-without-normalization": _PAPER | {"normalize": False},
    "paper-without-alignment": _PAPER | {"alignment": "none"},
    "svd-llm": _PAPER | {"alpha": 0.0},
    "whitened": {"alignment": "none"},
    "plain-svd": {"alignment": "none", "normalize": False},
}
"""Recipe name → what differs from the defaults.

`paper` is OD-LLM as far as it is published: whitening by the dense inputs, and an output factor refitted to the dense
outputs behind the compressed prefix (the target is presumed). The two `paper-without-…` and `plain-svd` complete the
2×2 of its ablation. `svd-llm` refits to the dense weight on the shifted inputs instead, as SVD-LLM's code does.
"""


def preset(name: str, **changes: Any) -> CompressionConfig:
    """Return the configuration of a named recipe, with some options changed.

    Raises:
        ConfigError: there is no such recipe.
    """
    if name not in PRESETS:
        raise ConfigError(f"preset is {name!r}; expected one of {', '.join(PRESETS)}")
    return CompressionConfig(**(PRESETS[name] | changes))
