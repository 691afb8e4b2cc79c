"""What is drawn inside axes: colours by number, intervals, outlines of histograms."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup
from numpy.typing import ArrayLike

from mobile_bench.report.axes import Axes
from mobile_bench.report.svg import line

COLOURS = 5
_CAP = 5.0


def colour(index: int) -> str:
    """Return the CSS class of the colour of a variant or bundle, by its number from 0."""
    return f"c{index % COLOURS}"


def upright_interval(x: float, bottom: float, top: float, style: str) -> list[Markup]:
    """Return an interval of the value on the upright axis: a line with a cap at each end."""
    ends = [line(x - _CAP, end, x + _CAP, end, f"whisker {style}") for end in (bottom, top)]
    return [line(x, bottom, x, top, f"whisker {style}"), *ends]


def histogram_outline(axes: Axes, samples: ArrayLike, floor: float, summit: float, bins: int) -> str:
    """Return the path of a histogram over the whole width: flat-topped bins, later samples in the last.

    Args:
        axes: whose x scale the samples are on.
        samples: raw, in the scale's unit.
        floor: where its bottom lies.
        summit: how high the fullest bin is.
        bins: how many, equally wide in the picture.
    """
    places = [min(axes.x_scale.place(float(sample)), 1.0) for sample in np.asarray(samples)]
    counts, edges = np.histogram(places, bins=bins, range=(0, 1))
    stops = axes.left + (axes.right - axes.left) * edges
    path = [f"M{axes.left:.1f} {floor:.1f}"]
    for count, start, stop in zip(counts, stops[:-1], stops[1:], strict=True):
        y = floor - summit * count / max(counts.max(), 1)
        path.append(f"L{start:.1f} {y:.1f}L{stop:.1f} {y:.1f}")
    return "".join(path) + f"L{axes.right:.1f} {floor:.1f}Z"
