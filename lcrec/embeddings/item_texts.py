"""The text that stands for an item: its title and its description, cleaned and joined.

Source: Zheng et al. 2024 (LC-Rec), whose item codes come from title and description.
"""

from __future__ import annotations

from lcrec.importers.repairs import Repairs
from lcrec.importers.titles import clean_text
from lcrec.items import Item


def item_text(item: Item) -> str:
    """Return title and text of an item on one line, entities unescaped; empty where it has neither."""
    ignored = Repairs()
    return f"{clean_text(item.title, ignored)} {clean_text(item.text, ignored)}".strip()


def normalized_text(item: Item) -> str:
    """Return what two items must share to count as the same: title and text without case, marks and spaces."""
    return " ".join("".join(c if c.isalnum() else " " for c in item_text(item).casefold()).split())
