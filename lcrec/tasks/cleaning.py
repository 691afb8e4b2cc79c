"""Titles and descriptions fit to be read and written by a language model."""

from __future__ import annotations

import re

from lcrec.importers.repairs import Repairs
from lcrec.importers.titles import clean_text, stand_in_title
from lcrec.items import Item

# A tag has a name, so "5 < 6" stays; code tokens and a tokenizer's own marks look like tags, and go with them.
_TAG = re.compile(r"<!--.*?-->|<[/!|?]?[A-Za-z][^<>]*>", re.DOTALL)


def plain_text(text: str) -> str:
    """Return text on one line without tags and entities, nor anything that a tokenizer takes for a mark of its own."""
    # Entities first: shops escape tags too.
    return clean_text(_TAG.sub(" ", clean_text(text, Repairs())), Repairs())


def plain_title(item: Item) -> str:
    """Return the title that a task may ask for, empty where the item has none of its own."""
    return "" if item.title == stand_in_title(item.id) else plain_text(item.title)
