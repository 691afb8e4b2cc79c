"""What importers of published dumps share: interactions from one file, items from another, as LC-Rec prepares them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lcrec.dataset import Dataset, Item
from lcrec.importers.imported import Imported, hash_sources, name_of, require_file
from lcrec.importers.interactions import Columns, Limits, to_sequences
from lcrec.importers.metadata import Metadata, find_known, read_items
from lcrec.importers.repairs import Repairs
from lcrec.importers.source_file import split_progress
from lcrec.importers.table import Block, TableColumns, read_block
from odllm_artifact import Progress, silent

ReadBlocks = Callable[[Path, Progress], Iterator[Block]]
ReadMetadata = Callable[[Path, Progress], Iterable[tuple[int, Metadata]]]


LCREC_LIMITS = Limits(min_interactions=5, first_only=True)


@dataclass(frozen=True)
class Dump:
    """A kind of published dump.

    Attributes:
        read_blocks: opens the interactions.
        read_metadata: opens the items; called twice.
        names: what messages call the columns.
    """

    read_blocks: ReadBlocks
    read_metadata: ReadMetadata
    names: TableColumns

    def read(
        self,
        source: Path,
        *,
        meta: Path | None = None,
        name: str | None = None,
        limits: Limits = LCREC_LIMITS,
        require_titles: bool = False,
        progress: Progress = silent,
    ) -> Imported:
        """Read interactions, drop what LC-Rec drops, and give the items that stay their titles and texts.

        Args:
            source: the file of the interactions, gzip or not.
            meta: the file of the items; None leaves titles and texts empty and drops no item for want of them.
            name: what reports call the dataset; default: the source's name.
            limits: which interactions stay.
            require_titles: items without a title are dropped as those without metadata are, which LC-Rec does not do.
            progress: told how much of the files is read.

        Raises:
            DatasetError: a file is missing or damaged, or nothing is left.
        """
        paths = [require_file(path, "dump") for path in (source, meta) if path is not None]
        reading, *passes = split_progress(progress, [source, *(2 * paths[1:])])
        repairs, columns = Repairs(), Columns()
        for block in self.read_blocks(source, reading):
            read_block(block, self.names, limits.min_rating, columns, repairs)
        if meta is None:
            left = to_sequences(columns, limits, repairs)
            items = tuple(Item(one, "") for one in left.items)
        else:
            known = find_known(self.read_metadata(meta, passes[0]), columns.items, require_titles, repairs)
            left = to_sequences(columns, limits, repairs, known)
            items = read_items(self.read_metadata(meta, passes[1]), left.items, repairs)
        dataset = Dataset(name or name_of(source), items, left.users, left.sequences)
        return Imported(dataset, repairs.counts(), hash_sources(paths))
