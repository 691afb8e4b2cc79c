"""`vocab` scoring over a vocabulary of real size: sums of 50,000 terms have to stay within the tolerance."""

import numpy as np
import torch

from compression.checkpoint import load_model
from lcrec.evaluate import dataset_catalog
from lcrec.search import search
from odllm_export.export import ExportOptions, export_bundle
from odllm_export.golden import TOLERANCE
from odllm_export.runtime import Recommender
from odllm_export.verify import random_cases


def favour_early_tokens(model):
    """A few likely words in front and a long tail behind, as in trained models: where a running sum loses most."""
    with torch.no_grad():
        model.lm_head.weight[:64] *= 5


def test_scores_over_a_large_vocabulary_are_exact(make_model_folder, make_dataset, make_prompt, tmp_path):
    prompt, dataset = make_prompt(first=50_000), make_dataset()
    folder, _ = make_model_folder(
        prompt=prompt, num_hidden_layers=1, tie_word_embeddings=False, change=favour_early_tokens
    )
    options = ExportOptions(num_beams=6, top_k=6, scoring="vocab", golden=1)
    export_bundle(folder, dataset, tmp_path / "bundle", options)
    recommender, catalog, model = Recommender.open(tmp_path / "bundle"), dataset_catalog(dataset), load_model(folder)
    codes = catalog.item_code_rows - catalog.level_offsets
    for history, _ in random_cases(recommender, 5):
        rows, scores = recommender.recommend_rows(history, np.zeros(0, np.int64))
        (expected,) = search(
            model, [prompt.encode(codes[history])], catalog, prompt.first_code_token, num_beams=6, scoring="vocab"
        )
        np.testing.assert_array_equal(rows, expected.rows)
        np.testing.assert_allclose(scores, expected.scores, atol=TOLERANCE)
