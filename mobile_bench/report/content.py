"""What a report shows. The caller measures and fills this in; the page only lays it out.

All texts are plain text: whatever they contain, item titles above all, is escaped.
"""

from __future__ import annotations

import msgspec

from mobile_bench.errors import BenchError


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of the content's parts."""


class Measure(_Content, frozen=True):
    """A figure and, where known, its 95 % interval."""

    value: float
    low: float | None = None
    high: float | None = None


class Variant(_Content, frozen=True):
    """One bundle that was measured. The first of a report is the one that others are held against.

    Attributes:
        name: short, such as `dense` or `compressed`.
        description: half a line: how it was made.
        parameters: of the model.
        bundle_bytes: on disk.
        hit_rate_10: HR@10 over the full catalogue.
        ndcg_10: NDCG@10 over the full catalogue.
        time_to_top_k_ms: raw samples of elapsed time, one a recommendation.
        peak_memory_bytes: the most that was resident at once.
        timing_caveats: why its time may not be quoted; empty if it may.
    """

    name: str
    description: str
    parameters: int
    bundle_bytes: int
    hit_rate_10: Measure
    ndcg_10: Measure
    time_to_top_k_ms: list[float]
    peak_memory_bytes: int
    timing_caveats: list[str] = []


class Baseline(_Content, frozen=True):
    """A recommender without a model, such as popularity: what quality has to beat."""

    name: str
    hit_rate_10: Measure
    ndcg_10: Measure


class ExampleList(_Content, frozen=True):
    """What one variant recommends in the worked example: titles, best first."""

    variant: str
    titles: list[str]


class Example(_Content, frozen=True):
    """One user: after these items, these.

    Attributes:
        history: titles, oldest first.
        lists: one a variant.
        actual_next: title of what the user really took next, where it is known.
    """

    history: list[str]
    lists: list[ExampleList]
    actual_next: str | None = None


class LayerRank(_Content, frozen=True):
    """The rank of one projection of one block.

    Attributes:
        layer: 0-based.
        projection: short name, such as `q` or `down`.
        rank: of its factors; `None` where it stayed dense.
        full_rank: min(rows, columns) of the dense matrix.
    """

    layer: int
    projection: str
    rank: int | None
    full_rank: int


class Verification(_Content, frozen=True):
    """How the bundles compare with the model they were exported from.

    Attributes:
        variant: which bundle.
        histories: compared.
        identical_lists: whose items agree in every place.
        max_score_difference: over all places of all lists.
    """

    variant: str
    histories: int
    identical_lists: int
    max_score_difference: float


class PrecisionResult(_Content, frozen=True):
    """One way to store the weights, and what it keeps.

    Attributes:
        name: of the precision, such as `int8-dynamic`.
        description: half a line: what is stored.
        weight_bytes: of the weights file.
        bundle_bytes: of the whole bundle.
        overlap: share of the model's own lists that the bundle's hold.
        same_first_item: share of the lists that begin as the model's.
        hit_rate_10: HR@10 over the full catalogue.
        ndcg_10: NDCG@10 over the full catalogue.
        ndcg_10_change: NDCG@10 − the first precision's, its interval user by user; `None` for the first.
    """

    name: str
    description: str
    weight_bytes: int
    bundle_bytes: int
    overlap: float
    same_first_item: float
    hit_rate_10: Measure
    ndcg_10: Measure
    ndcg_10_change: Measure | None = None


class PrecisionComparison(_Content, frozen=True):
    """One model at several precisions.

    Attributes:
        variant: which model.
        histories: whose lists were compared.
        top_k: items of a list that were compared.
        users: that were asked for their last item.
        results: at least one; the first is what the others are held against.
    """

    variant: str
    histories: int
    top_k: int
    users: int
    results: list[PrecisionResult]


class Fact(_Content, frozen=True):
    """A line of provenance: a hash, a version, a setting."""

    label: str
    value: str


class Report(_Content, frozen=True):
    """A whole report.

    Attributes:
        title: of the page.
        subtitle: one line below it: data set, model.
        device: one line: machine, threads, runtime.
        made_at: when, as it shall be printed.
        variants: at least one; the first is the reference.
        baselines: recommenders without a model.
        example: one user's lists.
        ranks: of the last variant's factored projections; empty if none were factored.
        verification: one a bundle.
        precisions: the last variant with its weights in fewer bits, where that was measured.
        provenance: hashes, versions and settings.
        commands: that make all this again.
        notes: how figures were taken and what they cannot say.
    """

    title: str
    subtitle: str
    device: str
    made_at: str
    variants: list[Variant]
    baselines: list[Baseline] = []
    example: Example | None = None
    ranks: list[LayerRank] = []
    verification: list[Verification] = []
    precisions: PrecisionComparison | None = None
    provenance: list[Fact] = []
    commands: list[str] = []
    notes: list[str] = []

    def __post_init__(self) -> None:
        """Check that there is something to show.

        Raises:
            BenchError: no variant, or one without samples.
        """
        if not self.variants:
            raise BenchError("a report needs at least one variant")
        for variant in self.variants:
            if not variant.time_to_top_k_ms:
                raise BenchError(f"variant {variant.name!r} has no time samples; measure it first")
