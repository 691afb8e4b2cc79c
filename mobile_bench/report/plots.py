"""The three plots of the report: quality against size, time distribution, ranks a layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from mobile_bench.report.axes import Axes, from_zero
from mobile_bench.report.content import Baseline, LayerRank, Variant
from mobile_bench.report.marks import colour, histogram_outline, upright_interval
from mobile_bench.report.svg import WIDTH, element, frame, join, label, line
from mobile_bench.statistics import percentile

MIB = 2**20
_BINS = 48


def quality_against_size(variants: Sequence[Variant], baselines: Sequence[Baseline]) -> Markup:
    """Return NDCG@10 with intervals over MiB on disk; baselines as dashed lines."""
    highest = max([v.ndcg_10.high or v.ndcg_10.value for v in variants] + [b.ndcg_10.value for b in baselines])
    sizes = from_zero(1.12 * max(v.bundle_bytes for v in variants) / MIB)
    axes = Axes(48, 34, WIDTH - 14, 232, sizes, from_zero(1.05 * highest))
    parts = axes.y_axis("NDCG@10") + axes.x_axis("MiB on disk")
    taken: list[float] = []
    for baseline in sorted(baselines, key=lambda one: one.ndcg_10.value):
        y = axes.y(baseline.ndcg_10.value)
        parts.append(line(axes.left, y, axes.right, y, "baseline"))
        text_y = min([y - 5, *(other - 14 for other in taken[-1:])])
        taken.append(text_y)
        parts.append(label(axes.left + 6, text_y, baseline.name, class_="tick"))
    places = _apart([axes.x(variant.bundle_bytes / MIB) for variant in variants])
    for index, (variant, x) in enumerate(zip(variants, places, strict=True)):
        parts += _quality_point(axes, index, variant, x)
    parts += _legend(axes, [variant.name for variant in variants])
    said = [f"{v.name}: {v.ndcg_10.value:.4f} at {v.bundle_bytes / MIB:.1f} MiB" for v in variants]
    said += [f"{b.name}: {b.ndcg_10.value:.4f}" for b in baselines]
    return frame("quality", "Quality against size", f"NDCG at 10. {'; '.join(said)}.", 276, parts)


def _apart(places: list[float], gap: float = 26.0) -> list[float]:
    """Move neighbours that would stand on each other apart, evenly round where they belong; the order stays."""
    order = sorted(range(len(places)), key=lambda i: (places[i], i))
    groups: list[list[int]] = []
    for i in order:
        if groups and places[i] - places[groups[-1][-1]] < gap:
            groups[-1].append(i)
        else:
            groups.append([i])
    moved = list(places)
    for group in groups:
        middle = sum(places[i] for i in group) / len(group)
        for number, i in enumerate(group):
            moved[i] = middle + gap * (number - (len(group) - 1) / 2)
    return moved


def _quality_point(axes: Axes, index: int, variant: Variant, x: float) -> list[Markup]:
    """Return dot and interval."""
    measure, style = variant.ndcg_10, colour(index)
    y, parts = axes.y(measure.value), []
    if measure.low is not None and measure.high is not None:
        parts = upright_interval(x, axes.y(measure.low), axes.y(measure.high), style)
    return [*parts, element("circle", cx=x, cy=y, r=6.0, class_=f"dot {style}")]


def _legend(axes: Axes, names: Sequence[str]) -> list[Markup]:
    """Return dots and names in a row at the top right, where no point can be: names beside points would collide."""
    widths = [24 + 7.2 * len(name) for name in names]
    x, parts = axes.right - sum(widths), []
    for index, (name, width) in enumerate(zip(names, widths, strict=True)):
        parts.append(element("circle", cx=x + 6, cy=14.0, r=5.0, class_=f"dot {colour(index)}"))
        parts.append(label(x + 15, 18, name, class_="tick"))
        x += width
    return parts


def time_distribution(variants: Sequence[Variant]) -> Markup:
    """Return a histogram of the time to top-k a variant, on one scale from 0, with p50 and p90."""
    row, top = 76.0, 12.0
    longest = max(percentile(v.time_to_top_k_ms, 99) for v in variants)
    times = from_zero(1.02 * max(longest, *(1.1 * percentile(v.time_to_top_k_ms, 90) for v in variants)))
    bottom = top + row * len(variants)
    axes = Axes(14, top, WIDTH - 14, bottom, times, from_zero(1))
    parts = axes.x_grid()
    for index, variant in enumerate(variants):
        parts += _time_row(axes, index, variant, top + row * (index + 1), row)
    parts += axes.x_axis("milliseconds a recommendation")
    said = [
        f"{v.name}: median {percentile(v.time_to_top_k_ms, 50):.1f} ms, "
        f"nine of ten within {percentile(v.time_to_top_k_ms, 90):.1f} ms"
        for v in variants
    ]
    return frame("time", "Time to top-k", f"{'; '.join(said)}.", bottom + 44, parts)


def _time_row(axes: Axes, index: int, variant: Variant, floor: float, height: float) -> list[Markup]:
    samples = np.asarray(variant.time_to_top_k_ms)
    p50, p90 = percentile(samples, 50), percentile(samples, 90)
    summit = height - 34
    parts = [element("path", d=histogram_outline(axes, samples, floor, summit, _BINS), class_=f"area {colour(index)}")]
    for value, style in ((p50, "mark"), (p90, "mark faint")):
        parts.append(line(axes.x(value), floor, axes.x(value), floor - summit - 6, f"{style} {colour(index)}"))
    text = join([element("tspan", variant.name, class_="name"), Markup(f"  p50 {p50:.1f} · p90 {p90:.1f} ms")])
    # The text stands where the histogram is not: times are far from 0, or it goes to the other side.
    on_the_left = p50 > axes.x_scale.high / 2
    x, anchor = (axes.left + 4, "start") if on_the_left else (axes.right - 4, "end")
    parts.append(element("text", text, x=float(x), y=floor - summit - 12, text_anchor=anchor, class_="tick"))
    return [*parts, line(axes.left, floor, axes.right, floor, "axis")]


def ranks_per_layer(ranks: Sequence[LayerRank]) -> Markup:
    """Return a heat map, layers across and projections down: rank as a share of the full rank."""
    layers = sorted({one.layer for one in ranks})
    projections = list(dict.fromkeys(one.projection for one in ranks))
    left, top, cell_height = 48.0, 14.0, 27.0
    width = (WIDTH - 14 - left) / len(layers)
    parts = [
        label(left - 8, top + cell_height * (row + 0.5) + 4, name, anchor="end", class_="tick")
        for row, name in enumerate(projections)
    ]
    for one in ranks:
        x = left + width * layers.index(one.layer)
        y = top + cell_height * projections.index(one.projection)
        parts += _rank_cell(one, x, y, width, cell_height)
    bottom = top + cell_height * len(projections)
    every = -(-len(layers) // 12)
    parts += [
        label(left + width * (column + 0.5), bottom + 16, str(layer), anchor="middle", class_="tick")
        for column, layer in enumerate(layers)
        if column % every == 0
    ]
    parts.append(label((left + WIDTH - 14) / 2, bottom + 36, "block", anchor="middle", class_="axis-title"))
    shares = [one.rank / one.full_rank for one in ranks if one.rank is not None]
    kept_dense = sum(one.rank is None for one in ranks)
    said = f"{len(shares)} factored projections in {len(layers)} blocks, {kept_dense} kept dense."
    if shares:
        said += f" Ranks are {min(shares):.0%} to {max(shares):.0%} of the full rank."
    return frame("ranks", "Rank of every projection", said, bottom + 44, parts)


def _rank_cell(one: LayerRank, x: float, y: float, width: float, height: float) -> list[Markup]:
    share = 1.0 if one.rank is None else one.rank / one.full_rank
    gap = 1.5 if width > 10 else 0.5
    parts = [
        element(
            "rect",
            element("title", f"block {one.layer} {one.projection}: {_rank_words(one)}"),
            x=x + gap / 2,
            y=y + gap / 2,
            width=width - gap,
            height=height - gap,
            rx=2.5,
            class_="cell",
            fill_opacity=0.08 + 0.84 * share,
        )
    ]
    if width >= 26:
        text = "dense" if one.rank is None and width >= 40 else "–" if one.rank is None else str(one.rank)
        style = "cell-text strong" if share > 0.5 else "cell-text"
        parts.append(label(x + width / 2, y + height / 2 + 4, text, anchor="middle", class_=style))
    return parts


def _rank_words(one: LayerRank) -> str:
    return "dense" if one.rank is None else f"rank {one.rank} of {one.full_rank}"
