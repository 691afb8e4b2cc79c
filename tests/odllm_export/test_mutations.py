"""Damaged bundles: refused in words, or provably harmless; no crash, no hang, no silently different list.

Every second mutation has a manifest whose hashes were computed again, so that only later checks can find it. What it
changes then is another bundle, and only a change that the golden lists touch can be told from the first one.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

import pytest

from odllm_export import bundle
from odllm_export.export import ExportOptions, export_bundle

MUTATIONS = 200
SECONDS_EACH = 30
HARMLESS_WITHOUT_FITTING = {bundle.MANIFEST}
HARMLESS = {bundle.MANIFEST, bundle.GOLDEN, bundle.ITEMS, bundle.CATALOG, bundle.WEIGHTS, bundle.GRAPH}


class Worker:
    """A process that opens damaged bundles; what it prints is read with a time limit."""

    def __init__(self, source, scratch):
        scratch.mkdir()
        tests = Path(__file__).parent
        paths = [str(tests), *filter(None, sys.path)]
        self.errors = (scratch / "errors.txt").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, str(tests / "mutation_worker.py"), str(source), str(scratch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)},
        )
        self.lines = Queue()
        Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")

    def ask(self, seed):
        """Return the report of a mutation; None if the process died or hung on it."""
        try:
            self.process.stdin.write(f"{seed}\n")
            self.process.stdin.flush()
            line = self.lines.get(timeout=SECONDS_EACH)
        except (Empty, BrokenPipeError):
            return None
        return json.loads(line) if line else None

    def end(self):
        """End the process and return the end of what it said of errors."""
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        with self.errors as file:
            file.seek(0)
            return file.read()[-2000:]


@pytest.fixture
def source(make_model_folder, make_dataset, tmp_path):
    folder, _ = make_model_folder()
    export_bundle(folder, make_dataset(), tmp_path / "bundle", ExportOptions(num_beams=12, top_k=5))
    return tmp_path / "bundle"


def test_no_mutation_crashes_hangs_or_changes_a_list_in_silence(source, tmp_path):
    worker, starts, reports, fatal = Worker(source, tmp_path / "0"), 0, [], []
    try:
        for seed in range(MUTATIONS):
            report = worker.ask(seed)
            if report is None:
                fatal.append((seed, worker.end()))
                starts += 1
                worker = Worker(source, tmp_path / str(starts))
            else:
                reports.append(report)
    finally:
        worker.end()
    assert fatal == []
    assert [report for report in reports if report["result"] not in ("refused", "same")] == []
    assert [report for report in reports if report["result"] == "refused" and len(report["words"]) < 20] == []
    harmless = [report for report in reports if report["result"] == "same"]
    allowed = {False: HARMLESS_WITHOUT_FITTING, True: HARMLESS}
    assert [report for report in harmless if report["file"] not in allowed[report["fitted"]]] == []
    refused = Counter((report["file"], report["fitted"]) for report in reports if report["result"] == "refused")
    for file in (bundle.GRAPH, bundle.WEIGHTS, bundle.CATALOG, bundle.ITEMS, bundle.GOLDEN):
        assert refused[file, False], file
        assert refused[file, True], file
