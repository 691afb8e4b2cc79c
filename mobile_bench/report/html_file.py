"""A template in, one HTML page out: what all pages share."""

from __future__ import annotations

from typing import Any

import jinja2


def render(template: str, **content: Any) -> str:
    """Return a page that needs no network; whatever is no `Markup` is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mobile_bench.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**content)
