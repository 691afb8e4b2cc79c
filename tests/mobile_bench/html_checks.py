"""What holds for every HTML page: it loads nothing, its pictures say what they show."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

HOSTILE = "<script>alert('x')</script> & \"quoted\""


class Tags(HTMLParser):
    """Collects start tags, and the attributes that could load something."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "data", "action")]


def tags_of(page: str) -> Tags:
    parser = Tags()
    parser.feed(page)
    return parser


def well_described_pictures(page: str) -> list[ElementTree.Element]:
    """Every picture of the page, after a check that it is well-formed XML and has a title and a description."""
    found = []
    for picture in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        root = ElementTree.fromstring(picture)
        assert root.findtext("title")
        assert root.findtext("desc")
        assert set(root.attrib["aria-labelledby"].split()) <= {element.get("id") for element in root}
        found.append(root)
    return found
