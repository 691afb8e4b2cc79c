"""The items' words and codes in token ids: what samples of all tasks but seqrec are put together from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lcrec.dataset import Dataset
from lcrec.prompt import Prompt
from lcrec.tasks.cleaning import plain_text, plain_title
from lcrec.tasks.reading import Ids, ReadTexts, WordReader
from lcrec.tasks.request_ids import Filled
from lcrec.tasks.templates import Wrapper


@dataclass(frozen=True)
class TokenBudgets:
    """How many tokens of a text a sample holds at most; what is longer is cut.

    Attributes:
        title: of a title.
        titles: of a history's titles together; the oldest are left out.
        description: of a description.
        generated: of a query or a preference.
    """

    title: int = 32
    titles: int = 256
    description: int = 64
    generated: int = 96


@dataclass(frozen=True, eq=False)
class ItemPieces:
    """The items' words and codes in token ids, and how histories of them are joined.

    Attributes:
        titles: of every item, empty where it has none of its own.
        descriptions: of every item.
        codes: int64 `[items, levels]` code tokens.
        item_codes: int32 `[items, levels]`.
        history: puts codes together as histories stand inside a request.
        between_titles: ids between two titles of a history.
        budgets: where texts are cut.
    """

    titles: ReadTexts
    descriptions: ReadTexts
    codes: NDArray[np.int64]
    item_codes: NDArray[np.int32]
    history: Prompt
    between_titles: Ids
    budgets: TokenBudgets

    def item(self, slot: str, row: int) -> Filled:
        """Fill `codes`, `title` or `description` with an item's."""
        if slot == "codes":
            return Filled(self.codes[row])
        texts = self.titles if slot == "title" else self.descriptions
        return Filled(texts[row], bool(texts.whole[row]))

    def past(self, slot: str, rows: NDArray[np.int32]) -> Filled:
        """Fill `history` or `titles` with the last items of a history, oldest first."""
        rows = self.read(rows)
        return Filled(self.history.items_ids(self.item_codes[rows]) if slot == "history" else self._titles(rows))

    def read(self, rows: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the items of a history that a prompt reads."""
        return rows[-self.history.max_items :]

    def _titles(self, rows: NDArray[np.int32]) -> Ids:
        """Join titles until the budget is spent, from the newest backwards; items without one are left out."""
        pieces: list[Ids] = []
        left = self.budgets.titles
        for row in rows[self.titles.present[rows]][::-1]:
            title = self.titles[row]
            left -= len(title) + len(self.between_titles)
            if pieces and left < 0:
                break
            pieces += [self.between_titles, title]
        return np.concatenate(pieces[:0:-1])


def read_items(
    dataset: Dataset, reader: WordReader, prompt: Prompt, wrapper: Wrapper, budgets: TokenBudgets
) -> ItemPieces:
    """Clean and read all items' words.

    Args:
        dataset: with item codes.
        reader: of the model's tokenizer.
        prompt: for the code tokens, and how many items of a history are read.
        wrapper: for what stands between the items of a history.
        budgets: where texts are cut.
    """
    history = Prompt(
        prompt.prefix_ids,
        tuple(reader.after_codes(wrapper.separator).tolist()) if wrapper.separator else (),
        (),
        prompt.max_items,
        prompt.code_sizes,
        prompt.first_code_token,
    )
    return ItemPieces(
        titles=reader.texts([plain_title(item) for item in dataset.items], budgets.title),
        descriptions=reader.texts([plain_text(item.text) for item in dataset.items], budgets.description),
        codes=prompt.code_tokens(dataset.require_codes().codes),
        item_codes=dataset.require_codes().codes,
        history=history,
        between_titles=reader.after_words(wrapper.title_separator),
        budgets=budgets,
    )
