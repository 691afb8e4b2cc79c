"""A dataset of sixty games with titles of five kinds, coded by a quantizer over a random BERT's vectors."""

import numpy as np

from lcrec.dataset import Dataset, Item, save_dataset
from lcrec.embeddings.items import embed_items
from lcrec.rqvae.building import TextCodesOptions, build_text_codes, save_text_codes
from lcrec.rqvae.training import RqVaeRecipe

KINDS = ["mario kart", "zelda quest", "tetris blocks", "racing wheel", "memory card"]
RECIPE = RqVaeRecipe(epochs=4, batch=32, checkpoint_every=2)


def dataset_of_games(repeated=0):
    titles = [f"{KINDS[row % 5]} {row}" for row in range(60)] + [f"{KINDS[0]} 0"] * repeated
    items = tuple(Item(f"i{row}", title) for row, title in enumerate(titles))
    sequences = tuple(np.arange(user, user + 5, dtype=np.int32) for user in range(8))
    return Dataset("games", items, tuple(f"u{user}" for user in range(8)), sequences)


def build(folder, encoder, dataset=None, **changes):
    """Write the dataset's folder with codes and quantizer; return both."""
    dataset = dataset or dataset_of_games()
    save_dataset(dataset, folder)
    options = TextCodesOptions(**({"recipe": RECIPE, "levels": 3, "width": 8} | changes))
    vectors = embed_items(dataset.items, encoder)
    result, quantizer = build_text_codes(dataset, vectors, encoder.facts, options)
    save_text_codes(folder, dataset, result, quantizer)
    return result, quantizer
