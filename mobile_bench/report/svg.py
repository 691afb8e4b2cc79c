"""The little that the plots need of SVG: elements, nice axis ticks, a frame that a screen reader can name.

Plots are drawn by hand rather than by a library: their colours are the page's CSS variables, so that one picture
serves light and dark, and their text is text.
"""

from __future__ import annotations

import math

from markupsafe import Markup, escape

WIDTH = 440
"""Of every plot, in its own units: about a phone's width, so that text stays readable there."""


def element(name: str, content: str | Markup = "", /, **attributes: str | float) -> Markup:
    """Return one element; content that is no `Markup` and all attributes are escaped.

    A trailing underscore of an attribute's name is dropped (`class_`), other underscores become hyphens.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_number(value) if isinstance(value, float) else escape(value)}"'
        for key, value in attributes.items()
    )
    return Markup(f"<{name}{written}>{escape(content)}</{name}>")


def join(parts: list[Markup]) -> Markup:
    """Return elements one after another."""
    return Markup("").join(parts)


def line(x1: float, y1: float, x2: float, y2: float, class_: str, **more: str | float) -> Markup:
    """Return a straight line."""
    return element("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=class_, **more)


def label(x: float, y: float, text: str, *, anchor: str = "start", class_: str = "") -> Markup:
    """Return a line of text; `anchor` is `start`, `middle` or `end`."""
    return element("text", text, x=float(x), y=float(y), text_anchor=anchor, class_=class_)


def frame(name: str, title: str, description: str, height: float, parts: list[Markup]) -> Markup:
    """Return a whole picture; `description` tells its content in words to those who cannot see it."""
    head = [element("title", title, id=f"{name}-title"), element("desc", description, id=f"{name}-desc")]
    return element(
        "svg",
        join(head + parts),
        viewBox=f"0 0 {WIDTH} {_number(height)}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def ticks(highest: float, about: int = 5) -> list[float]:
    """Return round numbers from 0 to at least `highest`, about so many."""
    if not math.isfinite(highest) or highest <= 0:
        highest = 1.0
    raw = highest / about
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(size * magnitude for size in (1, 2, 2.5, 5, 10) if size * magnitude >= raw * (1 - 1e-9))
    return [step * i for i in range(math.ceil(highest / step - 1e-9) + 1)]


def tick_text(value: float) -> str:
    """Return a tick's label without needless digits."""
    return f"{value:.6g}"


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
