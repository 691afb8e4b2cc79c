"""Opens damaged copies of a bundle, one after another; one line of JSON each. A process of its own: it may crash.

`python mutation_worker.py BUNDLE SCRATCH` reads seeds from standard input.
"""

import faulthandler
import json
import shutil
import sys
from pathlib import Path

import numpy as np
from bundle_mutations import mutate

from odllm_artifact import OdllmError
from odllm_export.bundle import GOLDEN
from odllm_export.golden_check import read_golden, self_test
from odllm_export.list_difference import list_difference
from odllm_export.runtime import Recommender


def answers(recommender, cases):
    """Return lists and scores of the golden cases: by single calls, and by sessions that grow to them."""
    found = []
    for case in cases:
        history, blocked = recommender.rows_of(case.history), recommender.rows_of(case.blocked)
        found.append(recommender.recommend_rows(history, blocked))
        session = recommender.session()
        for length in range(1, len(history) + 1):
            last = session.recommend_rows(history[:length], blocked)
        found.append(last)
        found.append(app_list(recommender, case))
    return found


def app_list(recommender, case):
    """Return what an app shows: as many items as the manifest says, rows and scores."""
    shown = recommender.recommend(case.history, blocked=case.blocked)
    return recommender.rows_of([one.item_id for one in shown]), np.array([one.score for one in shown])


def outcome(folder, golden, expected):
    """Return `refused`, `same` or `other`, and words; an error that is not ours ends this process."""
    try:
        with Recommender.open(folder) as recommender:
            found = answers(recommender, golden.cases)
            tested = self_test(recommender, folder) if GOLDEN in recommender.manifest.files else 0
    except OdllmError as error:
        return "refused", str(error)
    for (rows, scores), (old_rows, old_scores) in zip(found, expected, strict=True):
        what = list_difference(rows, scores, old_rows, old_scores, tolerance=golden.score_tolerance)
        if what:
            return "other", what
    return "same", f"{tested} golden lists came back"


def main(source, scratch):
    faulthandler.enable()
    golden = read_golden(source)
    with Recommender.open(source) as recommender:
        expected = answers(recommender, golden.cases)
    for line in sys.stdin:
        folder = scratch / "mutated"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source, folder)
        mutation = mutate(folder, int(line))
        result, words = outcome(folder, golden, expected)
        report = {"seed": int(line), "result": result, "words": words, "fitted": mutation.fitted}
        print(json.dumps({"file": mutation.file, "what": mutation.what, **report}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
