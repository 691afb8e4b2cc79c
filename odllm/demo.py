"""The whole pipeline on the embedded MovieLens data: what `make demo` runs, and the shortest example of the API.

import -> codes -> train -> compress -> recover -> evaluate -> export -> verify -> precisions -> benchmark -> report
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from lcrec.calibration import CalibrationRequest
from lcrec.dataset import load_dataset, save_codes
from lcrec.embedded import embedded_movielens
from lcrec.importers.movielens import import_movielens
from lcrec.item_codes import build_item_codes
from lcrec.model import find_preset
from lcrec.train import dataset_facts, train
from mobile_bench.host import measure, require_records
from mobile_bench.protocol import Settings
from mobile_bench.report.page import write_report
from mobile_bench.results import write_results
from odllm.calibrating import Calibrated
from odllm.compressing import compress_folder, recover_folder, recovery_options
from odllm.console import progress_bar, say
from odllm.demo_folder import VARIANTS, DemoFolder, DemoSettings
from odllm.demo_report import report_content, summary
from odllm.evaluation import evaluate_target
from odllm.precisions import compare_precisions, comparison_record
from odllm.stages import Stage, run_stages
from odllm_artifact import write_json
from odllm_export.export import ExportOptions, export_bundle
from odllm_export.runtime import Recommender
from odllm_export.verify import dataset_cases, require_verified, verify_bundle


@dataclass(frozen=True)
class Demo(DemoFolder):
    """The stages that fill a demo's folder."""

    settings: DemoSettings

    def run(self) -> dict[str, Any]:
        """Do what is not done yet and return the summary."""
        self.out.mkdir(parents=True, exist_ok=True)
        seconds = run_stages(self._stages(), self.out / "stages.json")
        result = summary(self, self.settings, seconds)
        write_json(self.out / "summary.json", result)
        return result

    def _stages(self) -> list[Stage]:
        data = [self.dataset / name for name in ("items.jsonl", "sequences.jsonl")]
        coded = [*data, self.dataset / "codes.json"]
        source = sorted(embedded_movielens().glob("*.csv"))
        s = self.settings
        calibration = {"keep_ratio": s.keep_ratio, "sequences": s.calibration_sequences, "seed": s.seed}
        recipe = {"preset": s.preset, "epochs": s.epochs, "seed": s.seed}
        dense, free, small = (self.model(name) for name in ("dense", "training-free", "compressed"))
        bench = {"seconds": s.bench_seconds, "calls": s.bench_calls}
        stages = [
            Stage("import", "importing MovieLens", self._import, data[0], source),
            Stage("codes", "giving every film four codes", self._codes, coded[-1], data, {"seed": s.seed}),
            Stage("train", "training the recommender", self._train, _weights(dense)[0], coded, recipe),
            Stage(
                "compress",
                f"compressing to {s.keep_ratio:.0%}",
                self._compress,
                _weights(free)[0],
                [*_weights(dense), *coded],
                calibration,
            ),
            Stage(
                "recover",
                "recovering by distillation",
                self._recover,
                _weights(small)[0],
                [*_weights(free), *coded],
                {"seconds": s.recovery_seconds},
            ),
        ]
        stages += [self._evaluation_stage(name, coded) for name in VARIANTS]
        stages += [self._export_stage(name, coded) for name in VARIANTS]
        manifests = [self.bundle(name) / "manifest.json" for name in VARIANTS]
        stages += [
            Stage(
                "verify",
                "comparing the bundles' lists with the models'",
                self._verify,
                self.out / "verify.json",
                manifests,
                {"histories": s.verify_histories},
            ),
            Stage(
                "precisions",
                "exporting the compressed model with fewer bits",
                self._precisions,
                self.out / "precisions.json",
                manifests[-1:],
                {"histories": s.precision_histories, "users": s.precision_users},
            ),
            Stage("bench", "measuring the bundles", self._bench, self.out / "bench.json", manifests, bench),
        ]
        results = [stage.output for stage in stages]
        return [*stages, Stage("report", "writing the report", self._report, self.report, results)]

    def _import(self) -> None:
        import_movielens(embedded_movielens()).save(self.dataset, overwrite=True)

    def _codes(self) -> None:
        data = load_dataset(self.dataset)
        with progress_bar("item codes") as bar:
            result = build_item_codes(data, seed=self.settings.seed, progress=bar)
        save_codes(self.dataset, result.codes, data.item_ids, result.method, result.statistics)

    def _train(self) -> None:
        data, preset = load_dataset(self.dataset), find_preset(self.settings.preset)
        if self.settings.epochs is not None:
            preset = msgspec.structs.replace(preset, epochs=self.settings.epochs)
        facts, seed = dataset_facts(data, self.dataset), self.settings.seed
        with progress_bar("training") as bar:
            train(data, preset, self.model("dense"), facts=facts, seed=seed, overwrite=True, progress=bar)

    def _compress(self) -> None:
        from compression.config import preset

        request = CalibrationRequest(sequences=self.settings.calibration_sequences)
        compress_folder(
            Calibrated(self.model("dense"), self.dataset, request, self.settings.seed),
            self.model("training-free"),
            config=preset("default", keep_ratio=self.settings.keep_ratio),
            overwrite=True,
            progress=progress_bar,
        )

    def _recover(self) -> None:
        recover_folder(
            self.model("training-free"),
            self.model("dense"),
            self.dataset,
            self.model("compressed"),
            config=recovery_options(self.settings.recovery_seconds, seed=self.settings.seed),
            overwrite=True,
            progress=progress_bar,
        )

    def _evaluation_stage(self, name: str, coded: Sequence[Path]) -> Stage:
        folder = self.model(name)

        def run() -> None:
            with progress_bar("evaluating") as bar:
                rows = evaluate_target(folder, load_dataset(self.dataset), baselines=name == "dense", progress=bar).rows
            write_json(folder / "evaluation.json", rows.pop(name))
            if rows:
                write_json(self.out / "baselines.json", rows)

        title = f"evaluating the {name} model"
        return Stage(f"evaluate {name}", title, run, folder / "evaluation.json", [*_weights(folder), *coded])

    def _export_stage(self, name: str, coded: Sequence[Path]) -> Stage:
        folder = self.model(name)

        def run() -> None:
            with progress_bar("exporting") as bar:
                data, cases = load_dataset(self.dataset), self.settings.golden_histories
                export_bundle(
                    folder, data, self.bundle(name), ExportOptions(golden=cases), overwrite=True, progress=bar
                )

        inputs = [*_weights(folder), folder / "evaluation.json", *coded]
        return Stage(f"export {name}", f"exporting the {name} bundle", run, self.bundle(name) / "manifest.json", inputs)

    def _verify(self) -> None:
        data, found = load_dataset(self.dataset), {}
        for name in VARIANTS:
            recommender = Recommender.open(self.bundle(name))
            cases = dataset_cases(recommender, data, self.settings.verify_histories, seed=self.settings.seed)
            with progress_bar(f"verifying {name}") as bar:
                found[name] = verify_bundle(recommender, self.model(name), cases, progress=bar)
        write_json(self.out / "verify.json", msgspec.to_builtins(found))
        for result in found.values():
            require_verified(result)

    def _precisions(self) -> None:
        s = self.settings
        with progress_bar("comparing precisions") as bar:
            rows = compare_precisions(
                self.model("compressed"),
                load_dataset(self.dataset),
                histories=s.precision_histories,
                users=s.precision_users,
                options=ExportOptions(golden=s.golden_histories),
                seed=s.seed,
                progress=bar,
            )
        write_json(self.out / "precisions.json", comparison_record(rows))

    def _bench(self) -> None:
        settings = Settings(
            min_seconds=self.settings.bench_seconds, min_calls=self.settings.bench_calls, energy_seconds=0
        )
        bundles = [self.bundle(name) for name in VARIANTS]
        with progress_bar("measuring") as bar:
            results = measure(bundles, settings=settings, progress=bar)
        for record in require_records(results):
            for reason in record.validity.reasons:
                say(f"note: {record.bundle.name}: {reason}")
        write_results(results, self.out / "bench.json")

    def _report(self) -> None:
        write_report(report_content(self, self.settings), self.report)


def _weights(model: Path) -> list[Path]:
    """What of a model folder later stages depend on; its evaluation comes later and must not count."""
    return [model / name for name in ("model.safetensors", "config.json", "recommender.json", "low_rank.json")]
