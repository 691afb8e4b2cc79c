"""Titles as people may read them: entities unescaped, spaces tidied, no empty ones."""

from __future__ import annotations

import html
import re

from lcrec.importers.repairs import Repairs

# Only entities that end in a semicolon: html.unescape alone would also turn "R&sector" into "R§or".
_ENTITY = re.compile(r"&(?:#[0-9]+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]*);")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SCRIPT = re.compile(r"<(script|style)\b.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL)
_BLOCK = re.compile(r"</?(?:p|br|hr|div|ul|ol|li|dl|dt|dd|table|tr|td|th|h[1-6])\b[^<>]*>", re.IGNORECASE)
_TAG = re.compile(r"<!--.*?-->|</?[A-Za-z][^<>]*>", re.DOTALL)
_ESCAPED_AT_MOST = 3  # shops escape twice ("&amp;eacute;"); three times is the end of it


def clean_text(text: str, repairs: Repairs) -> str:
    """Return `text` on one line, entities unescaped and spaces tidied, both counted."""
    plain = _unescape(text)
    if plain != text:
        repairs.add("html_entities_unescaped")
    # Half of a surrogate pair is legal in JSON but cannot be written as UTF-8.
    writable = plain.encode("utf-8", "replace").decode("utf-8")
    tidy = " ".join(_CONTROL.sub(" ", writable).split())
    if tidy != plain:
        repairs.add("whitespace_tidied")
    return tidy


def clean_markup(text: str, repairs: Repairs) -> str:
    """Return `text` without HTML tags, without scripts and styles and what is in them, and as `clean_text` does."""
    if "<" in text or "&" in text:
        plain = _unescape(text)
        bare = _TAG.sub("", _BLOCK.sub(" ", _SCRIPT.sub(" ", plain)))
        if bare != plain:
            repairs.add("markup_removed")
            text = " ".join(bare.split())
    return clean_text(text, repairs)


def clean_title(title: str, item_id: str, repairs: Repairs) -> str:
    """Return the title as `clean_text` does, or "Item <id>" where nothing is left."""
    tidy = clean_text(title, repairs)
    if tidy:
        return tidy
    repairs.add("empty_titles")
    return stand_in_title(item_id)


def stand_in_title(item_id: str) -> str:
    """Return what an item without a title is called."""
    return f"Item {item_id}"


def _unescape(text: str) -> str:
    for _ in range(_ESCAPED_AT_MOST):
        plain = _ENTITY.sub(lambda match: html.unescape(match.group()), text)
        if plain == text:
            break
        text = plain
    return text
