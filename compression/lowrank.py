"""The low-rank linear layer, and where the factored projections of a LLaMA-family model live.

A dense projection y = W x + b becomes y = A (B x) + b with B `[rank, in_features]` and
A `[out_features, rank]`: two matrix products that the exporter and the checkpoint find again by name.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from compression.errors import RankError, UnsupportedModelError


@dataclass(frozen=True)
class ProjectionGroup:
    """Projections of one block that read the same input, and so share one covariance.

    Attributes:
        name: of the shared input.
        projections: module names inside the block, as transformers calls them.
        residual: the normalisation whose input is the residual stream that the group's output is added to,
            or None where the output does not reach the stream directly.
    """

    name: str
    projections: tuple[str, ...]
    residual: str | None = None

    @property
    def stack(self) -> str:
        """Name of the group as one matrix of all rows: `self_attn.q_proj+k_proj+v_proj`."""
        module = self.projections[0].rpartition(".")[0]
        return f"{module}.{'+'.join(name.rpartition('.')[2] for name in self.projections)}"


GROUPS: tuple[ProjectionGroup, ...] = (
    ProjectionGroup("attention_input", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")),
    ProjectionGroup("attention_output", ("self_attn.o_proj",), residual="input_layernorm"),
    ProjectionGroup("mlp_input", ("mlp.gate_proj", "mlp.up_proj")),
    ProjectionGroup("mlp_output", ("mlp.down_proj",), residual="post_attention_layernorm"),
)
"""The four inputs of a block in the order in which they are computed (and compressed)."""

INPUT_FACTOR = "input_factor.weight"
"""Name of B inside a low-rank layer."""

PROJECTIONS: tuple[str, ...] = tuple(name for group in GROUPS for name in group.projections)
"""The seven projections of a block, by transformers' names."""


class LowRankLinear(nn.Module):
    """A linear layer W' = A·B, stored as `input_factor` (B) and `output_factor` (A, with the bias if any).

    Args:
        in_features: columns of the dense matrix it stands for.
        out_features: rows of the dense matrix it stands for.
        rank: inner size, 1 … in_features; above out_features only where others read through the same input factor.
        bias: whether the output factor adds a bias.
        device: where the factors are made.
        dtype: of the factors.

    Raises:
        RankError: `rank` is out of range.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        rank: int,
        *,
        bias: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not 1 <= rank <= in_features:
            raise RankError(
                f"rank {rank} does not fit a matrix of {out_features} × {in_features}: "
                f"expected 1 to {in_features}. Correct the rank, or leave the layer dense."
            )
        self.input_factor = nn.Linear(in_features, rank, bias=False, device=device, dtype=dtype)
        self.output_factor = nn.Linear(rank, out_features, bias=bias, device=device, dtype=dtype)

    @classmethod
    def from_factors(
        cls, output_factor: torch.Tensor, input_factor: torch.Tensor, bias: torch.Tensor | None = None
    ) -> LowRankLinear:
        """Return the layer with A `[out_features, rank]`, B `[rank, in_features]`, bias `[out_features]`.

        The tensors are used as they are (not copied), so their dtype and device are the layer's.

        Raises:
            RankError: the factors do not fit each other.
        """
        (rows, rank), (inner, columns) = output_factor.shape, input_factor.shape
        if rank != inner:
            raise RankError(f"factors of rank {rank} (output) and {inner} (input) do not fit each other")
        layer = cls(columns, rows, rank, bias=bias is not None, device="meta")  # meta: draws no random numbers
        layer.output_factor.weight = nn.Parameter(output_factor)
        layer.input_factor.weight = nn.Parameter(input_factor)
        if bias is not None:
            layer.output_factor.bias = nn.Parameter(bias)
        return layer

    @property
    def in_features(self) -> int:
        """Columns of the dense matrix it stands for."""
        return self.input_factor.in_features

    @property
    def out_features(self) -> int:
        """Rows of the dense matrix it stands for."""
        return self.output_factor.out_features

    @property
    def rank(self) -> int:
        """The inner size."""
        return self.input_factor.out_features

    def dense_weight(self) -> torch.Tensor:
        """Return A·B `[out_features, in_features]`: for tests and comparison, never for speed."""
        return self.output_factor.weight @ self.input_factor.weight

    def share_input(self, other: LowRankLinear) -> None:
        """Read the input through the input factor of `other` from now on: one matrix, stored and trained once.

        Raises:
            RankError: the two differ in rank or input.
        """
        if (self.rank, self.in_features) != (other.rank, other.in_features):
            raise RankError(
                f"an input factor of {other.rank} × {other.in_features} cannot stand in for one of "
                f"{self.rank} × {self.in_features}"
            )
        self.input_factor = other.input_factor

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return A (B x) + b for inputs `[…, in_features]`, as `[…, out_features]`."""
        hidden: torch.Tensor = self.input_factor(inputs)  # [..., rank]
        outputs: torch.Tensor = self.output_factor(hidden)  # [..., out_features]
        return outputs


def projection_names(model: nn.Module) -> list[str]:
    """Return the full names of the seven projections of every block, in forward order.

    Raises:
        UnsupportedModelError: the model has no `model.layers`.
    """
    try:
        blocks = len(model.get_submodule("model.layers"))  # type: ignore[arg-type]
    except AttributeError as error:
        raise UnsupportedModelError(
            f"{type(model).__name__} has no `model.layers`: expected a causal LM of the LLaMA family"
        ) from error
    return [f"model.layers.{block}.{projection}" for block in range(blocks) for projection in PROJECTIONS]


def members(name: str) -> tuple[str, ...]:
    """Return the projections that a name stands for: one, or those of a `ProjectionGroup.stack`."""
    module, _, last = name.rpartition(".")
    return tuple(f"{module}.{member}" for member in last.split("+"))


def shared_inputs(model: nn.Module) -> dict[str, str]:
    """Return projection → the projection before it whose input factor it reads through, by full module name."""
    first: dict[int, str] = {}
    shared = {}
    for name, layer in factored_linears(model).items():
        owner = first.setdefault(id(layer.input_factor), name)
        if owner != name:
            shared[name] = owner
    return shared


def factored_linears(model: nn.Module) -> dict[str, LowRankLinear]:
    """Return the low-rank layers of a model by full module name, in forward order."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LowRankLinear)}


def replace_linear(model: nn.Module, name: str, layer: nn.Module) -> None:
    """Put `layer` where the module `name` is."""
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, layer)
