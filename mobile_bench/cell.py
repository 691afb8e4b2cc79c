"""What is measured at a time: one bundle on one device with one provider and one number of threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mobile_bench.browser.target import BrowserTarget
from mobile_bench.errors import BenchError
from mobile_bench.histories import Histories, choose_histories, given_histories
from mobile_bench.host_target import HostTarget
from mobile_bench.quality import HeldOutUsers
from mobile_bench.record import LATENCY_KINDS, BundleIdentity, cell_label
from mobile_bench.target import Target, Worker
from odllm_artifact import sha256_file
from odllm_export.bundle import MANIFEST, Manifest, bundle_bytes, check_files, read_manifest
from odllm_export.providers import find_provider


@dataclass(frozen=True, eq=False)
class Cell:
    """One bundle on one device with one provider and one number of threads.

    Attributes:
        folder: the bundle.
        manifest: its own.
        histories: what it is asked about.
        provider: by the command line's name.
        threads: of the intra-op pool.
        target: the device.
        users: held-out users to ask about, if any.
    """

    folder: Path
    manifest: Manifest
    histories: Histories
    provider: str
    threads: int
    target: Target
    users: HeldOutUsers | None

    @property
    def name(self) -> str:
        """What messages call it."""
        return cell_label(self.folder.name, self.provider, self.threads)

    @property
    def is_timed(self) -> bool:
        """Whether its latency means something."""
        return self.target.kind in LATENCY_KINDS

    @property
    def opening(self) -> tuple[str, str, int, list[list[int]]]:
        """What a worker's request to open it begins with."""
        return self.target.path_of(self.folder, self.manifest), self.provider, self.threads, self.histories.rows

    def install(self) -> None:
        """Bring the bundle to the device, unless it is there."""
        self.target.install(self.folder, self.manifest)

    def start_worker(self) -> Worker:
        """Start a fresh worker on the device."""
        return self.target.start_worker(self.name)

    def identity(self) -> BundleIdentity:
        """Return what records say about the bundle."""
        manifest = self.manifest
        return BundleIdentity(
            name=self.folder.name,
            dataset=manifest.name,
            manifest_sha256=sha256_file(self.folder / MANIFEST),
            files_sha256={name: fact.sha256 for name, fact in manifest.files.items()},
            precision=manifest.model.precision,
            form=manifest.graph.form,
            scoring=manifest.search.scoring,
            num_beams=manifest.search.num_beams,
            items=manifest.items,
            parameters=manifest.model.parameters,
            keep_ratio=manifest.model.keep_ratio,
            bundle_bytes=bundle_bytes(self.folder, manifest),
        )


def target_of(provider: str) -> Target:
    """Return this host, or its browser where only pages have the provider.

    Raises:
        BenchError: what the provider needs is not installed.
        odllm_export.errors.BundleError: there is none of that name.
    """
    return BrowserTarget.of(provider) if find_provider(provider).in_browser else HostTarget.of(provider)


def make_cells(
    bundles: Sequence[Path],
    providers: Sequence[str],
    threads: Sequence[int],
    rows: Sequence[Sequence[int]] | None = None,
    users: HeldOutUsers | None = None,
    target: Target | None = None,
) -> list[Cell]:
    """Return every bundle with every provider and every number of threads, its files checked.

    Args:
        bundles: folders.
        providers: by the command line's names.
        threads: numbers of threads of the runtime's pool.
        rows: histories as item rows for all bundles alike; each bundle's own if not given.
        users: held-out users whose next items are looked for; none if not given.
        target: the device; this host, with whatever each provider needs, if not given.

    Raises:
        BenchError: nothing to measure, a provider that is not installed, or a number of threads below 1.
        odllm_export.errors.BundleError: a bundle is damaged, or there is no such provider.
    """
    if not bundles or not providers or not threads:
        raise BenchError("nothing to measure: name at least one bundle, one provider and one number of threads")
    if min(threads) < 1:
        raise BenchError(f"{min(threads)} threads were asked for; at least 1 is needed")
    targets: dict[str, Target] = {provider: target or target_of(provider) for provider in providers}
    cells = []
    for folder in bundles:
        manifest = read_manifest(folder)
        check_files(folder, manifest)
        if users is not None:
            users.cases(folder)  # before anything is measured
        histories = choose_histories(folder, manifest) if rows is None else given_histories(rows, manifest)
        cells += [
            Cell(folder.absolute(), manifest, histories, provider, count, device, users)
            for provider, device in targets.items()
            for count in threads
        ]
    return cells
