import math

import msgspec
import numpy as np
import pytest
import torch

from lcrec.code_collisions import place_new
from lcrec.errors import QuantizerError
from lcrec.items import ItemCodes
from lcrec.residual_kmeans import Quantization, nearest_path, quantize
from lcrec.rqvae import training
from lcrec.rqvae.building import collapse_warnings
from lcrec.rqvae.collisions import resolve_by_sinkhorn
from lcrec.rqvae.model import RqVae, RqVaeConfig, default_layers
from lcrec.rqvae.sinkhorn import sinkhorn_assign
from lcrec.rqvae.training import RqVaeRecipe, codebook_centers, default_batch, latent_vectors, train_rqvae

CONFIG = RqVaeConfig(dimensions=16, hidden=(24,), latent=8, levels=3, width=8)
RECIPE = RqVaeRecipe(epochs=12, batch=32, checkpoint_every=3)


def clusters(items=120, groups=8, seed=0):
    """Vectors in groups far apart, each with two halves, and noise."""
    random = np.random.default_rng(seed)
    group, half = np.arange(items) % groups, np.arange(items) // groups % 2
    centers, halves = random.normal(size=(groups, 16)) * 3, random.normal(size=(2, 16))
    noise = random.normal(size=(items, 16)) * 0.3
    return (centers[group] + halves[half] + noise).astype(np.float32), group


def codes_of(model, vectors):
    return nearest_path(latent_vectors(model, vectors), codebook_centers(model))


def plain_sinkhorn(distance, epsilon, iterations):
    """The textbook's alternation on the whole matrix, in logarithms; of equal shares the nearest code's counts."""
    d = distance.astype(np.float64)
    middle, amplitude = (d.max() + d.min()) / 2, (d.max() - d.min()) / 2 + 1e-5
    log = -(d - middle) / amplitude / epsilon
    for _ in range(iterations):
        log = log - np.logaddexp.reduce(log, axis=1, keepdims=True)
        log = log - np.logaddexp.reduce(log, axis=0, keepdims=True)
    most = log >= log.max(axis=1, keepdims=True) + math.log(1 - 1e-3)
    return np.where(most, d, np.inf).argmin(axis=1)


@pytest.mark.parametrize("shape", [(40, 8), (3, 8), (2, 256), (64, 64)])
@pytest.mark.parametrize("epsilon", [0.003, 0.05])
def test_sinkhorn_assigns_as_the_plain_alternation_does(shape, epsilon):
    distance = np.random.default_rng(1).random(shape) ** 3 * 10
    found = sinkhorn_assign(torch.from_numpy(distance), epsilon, 50).numpy()
    np.testing.assert_array_equal(found, plain_sinkhorn(distance, epsilon, 50))


def test_sinkhorn_spreads_what_the_nearest_code_would_heap_up():
    points = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    codes = torch.randn(8, 4, generator=torch.Generator().manual_seed(1)) * torch.linspace(0.1, 3, 8)[:, None]
    distance = torch.cdist(points, codes) ** 2
    counts = torch.bincount(sinkhorn_assign(distance, 0.003, 50), minlength=8)
    assert counts.max() <= 12
    assert torch.bincount(distance.argmin(dim=1), minlength=8).max() > 20


def test_layers_and_batch_suit_the_data():
    assert default_layers(4096) == (2048, 1024, 512, 256, 128, 64)
    assert default_layers(384) == (512, 256, 128, 64)
    assert default_layers(16) == (64,)
    assert [default_batch(items) for items in (1, 2078, 16859, 10**6)] == [64, 128, 1024, 1024]


def test_the_gradient_goes_straight_through_the_codes():
    torch.manual_seed(0)
    model = RqVae(CONFIG)
    torch.nn.init.normal_(model.codebooks)
    vectors = torch.from_numpy(clusters()[0])
    losses = model.losses(vectors)
    losses.reconstruction.backward()
    assert model.codebooks.grad is None or not model.codebooks.grad.any()
    assert all(parameter.grad.any() for parameter in model.encoder.parameters())


def test_the_codebook_loss_is_that_of_every_level():
    torch.manual_seed(0)
    model = RqVae(msgspec.structs.replace(CONFIG, epsilon=0.0))
    torch.nn.init.normal_(model.codebooks)
    vectors = clusters()[0]
    losses = model.losses(torch.from_numpy(vectors))
    latents, centers = latent_vectors(model, vectors), codebook_centers(model)
    quantization = Quantization(nearest_path(latents, centers), centers, latents)
    rows = np.arange(len(vectors))
    left = [quantization.residual(rows, quantization.codes[:, : level + 1]) for level in range(3)]
    expected = 1.25 * sum((one.astype(np.float64) ** 2).mean() for one in left)
    assert float(losses.quantization.detach()) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_array_equal(losses.used.numpy().T, quantization.codes)


def test_training_lowers_the_error_and_groups_share_first_codes():
    vectors, group = clusters()
    model, history = train_rqvae(vectors, CONFIG, RqVaeRecipe(epochs=40, batch=32))
    assert history[-1]["reconstruction_error"] < 0.7 * history[0]["reconstruction_error"]
    first = codes_of(model, vectors)[:, 0]
    same_group = (group[:, None] == group)[np.triu_indices(len(group), 1)]
    same_code = (first[:, None] == first)[np.triu_indices(len(group), 1)]
    assert same_code[same_group].mean() > 5 * same_code[~same_group].mean()


def test_history_tells_what_the_codes_of_that_epoch_are():
    vectors, _ = clusters()
    model, history = train_rqvae(vectors, CONFIG, RECIPE)
    codes = ItemCodes(codes_of(model, vectors), (8, 8, 8))
    assert len(history) == 12
    assert history[-1]["collision_rate"] == pytest.approx(codes.collisions() / 120, abs=1e-6)
    assert history[-1]["used"] == [len(np.unique(codes.codes[:, level])) for level in range(3)]
    assert history[-1]["perplexity"] == [level["perplexity"] for level in codes.statistics()["levels"]]


def test_the_same_seed_gives_the_same_model_and_another_another():
    vectors, _ = clusters()
    runs = [train_rqvae(vectors, CONFIG, RECIPE, seed=seed)[0].state_dict() for seed in (0, 0, 1)]
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert not torch.equal(runs[0]["codebooks"], runs[2]["codebooks"])


def test_a_killed_run_goes_on_to_the_bit(tmp_path):
    vectors, _ = clusters()
    whole, history = train_rqvae(vectors, CONFIG, RECIPE)

    def kill(done, total, note=""):
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_rqvae(vectors, CONFIG, RECIPE, checkpoint=tmp_path / "training.pt", progress=kill)
    begun = []
    resumed, again = train_rqvae(
        vectors, CONFIG, RECIPE, checkpoint=tmp_path / "training.pt", progress=lambda done, *_: begun.append(done)
    )
    assert begun[0] == 7  # the checkpoint of epoch 6
    assert again == history
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name])


@pytest.mark.parametrize("change", ["seed", "recipe", "vectors"])
def test_a_checkpoint_of_another_run_is_not_taken(tmp_path, change):
    vectors, _ = clusters()
    path = tmp_path / "training.pt"
    train_rqvae(vectors, CONFIG, RECIPE, checkpoint=path)
    recipe = msgspec.structs.replace(RECIPE, learning_rate=2e-3) if change == "recipe" else RECIPE
    other = vectors + 1 if change == "vectors" else vectors
    options = {"seed": 1} if change == "seed" else {}
    fresh, _ = train_rqvae(other, CONFIG, recipe, **options)
    begun = []
    found, _ = train_rqvae(
        other, CONFIG, recipe, checkpoint=path, progress=lambda done, *_: begun.append(done), **options
    )
    assert begun[0] == 1
    assert torch.equal(found.codebooks, fresh.codebooks)


def test_unused_codes_get_places_that_items_are_nearest_to():
    vectors, _ = clusters()
    torch.manual_seed(0)
    model = RqVae(CONFIG)
    model.fit_scale(torch.from_numpy(vectors))
    training._initialise_codebooks(model, torch.from_numpy(vectors), 0)
    with torch.no_grad():
        model.codebooks[0, 2:] = 1e3
    latents, codes = latent_vectors(model, vectors), codes_of(model, vectors)
    assert len(np.unique(codes[:, 0])) == 2
    with torch.no_grad():
        moved = training._restart_dead(model, torch.from_numpy(latents), codes, torch.Generator().manual_seed(0))
    assert moved >= 6
    assert len(np.unique(codes_of(model, vectors)[:, 0])) == 8


def test_restarts_are_left_out_when_not_wanted():
    vectors, _ = clusters()
    _, history = train_rqvae(vectors, CONFIG, msgspec.structs.replace(RECIPE, restart_dead=False))
    assert [one["restarted"] for one in history] == [0] * 12


def test_a_catalogue_smaller_than_the_codebooks_trains():
    vectors, _ = clusters(items=5)
    model, history = train_rqvae(vectors, CONFIG, RECIPE)
    assert codes_of(model, vectors).shape == (5, 3)
    assert history[-1]["collision_rate"] <= 0.4


def test_a_loss_that_is_no_number_stops_in_words_and_keeps_the_checkpoint(tmp_path):
    vectors, _ = clusters()
    path = tmp_path / "training.pt"
    train_rqvae(vectors, CONFIG, RECIPE, checkpoint=path)
    before = path.read_bytes()
    wild = msgspec.structs.replace(RECIPE, learning_rate=1e30)
    with pytest.raises(QuantizerError, match="lower learning rate"):
        train_rqvae(vectors, CONFIG, wild, checkpoint=path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_vectors_that_are_not_finite_are_refused(bad):
    vectors, _ = clusters()
    vectors[3, 2] = bad
    with pytest.raises(QuantizerError, match="not finite"):
        train_rqvae(vectors, CONFIG, RECIPE)


def crowded(copies=1):
    """A quantisation in which different items have equal codes, and `copies` of each item."""
    random = np.random.default_rng(3)
    vectors = np.repeat(random.normal(size=(24, 4)).astype(np.float32), copies, axis=0)
    found = quantize(vectors, 2, 16, 0, lambda _: None)
    coarse = (found.centers[0][:3], found.centers[1])
    return Quantization(nearest_path(vectors, coarse), coarse, vectors)


def test_rounds_of_sinkhorn_part_items_and_touch_only_last_codes():
    before = crowded()
    after = resolve_by_sinkhorn(before, 16, 0.003, 50)
    sizes = (16, 16)
    collisions = [ItemCodes(one.codes, sizes).collisions() for one in (before, after.quantization)]
    assert collisions[0] >= 4
    assert collisions[1] == 0
    np.testing.assert_array_equal(before.codes[:, 0], after.quantization.codes[:, 0])
    assert after.changed == (before.codes != after.quantization.codes).any(axis=1).sum() > 0
    assert 0 < after.rounds <= 20


def test_items_without_a_collision_keep_their_codes_in_the_first_round():
    found = quantize(np.eye(4, dtype=np.float32), 2, 4, 0, lambda _: None)
    after = resolve_by_sinkhorn(found, 4, 0.003, 50)
    np.testing.assert_array_equal(found.codes, after.quantization.codes)
    assert (after.rounds, after.changed) == (0, 0)


def test_equal_items_stay_together_and_the_rounds_end():
    after = resolve_by_sinkhorn(crowded(copies=2), 16, 0.003, 50)
    codes = after.quantization.codes
    np.testing.assert_array_equal(codes[::2], codes[1::2])
    assert after.rounds < 20


def test_nearest_path_is_what_quantize_gives():
    vectors, _ = clusters()
    found = quantize(vectors, 3, 8, 0, lambda _: None)
    np.testing.assert_array_equal(nearest_path(vectors, found.centers), found.codes)


def test_new_items_take_the_nearest_free_last_code_and_old_ones_stay():
    found = crowded()
    taken = found.codes.copy()
    placed = place_new(found, 16, taken)
    np.testing.assert_array_equal(taken, found.codes)
    everyone = np.concatenate([np.unique(taken, axis=0), placed])
    assert len(np.unique(everyone, axis=0)) == len(everyone)
    first = int(np.flatnonzero(placed[:, 0] == found.codes[:, 0])[0])
    left = found.residual(first, found.codes[first, :1])
    used = {int(code) for path, code in taken if path == found.codes[first, 0]}
    used |= {int(code) for path, code in placed[:first] if path == found.codes[first, 0]}
    free = [code for code in range(len(found.centers[1])) if code not in used]
    distance = ((found.centers[1][free] - left) ** 2).sum(axis=1)
    assert placed[first, 1] == free[int(distance.argmin())]


def test_new_items_share_their_nearest_codes_when_every_path_is_taken():
    found = crowded()
    everything = np.stack(np.meshgrid(np.arange(16), np.arange(16), indexing="ij"), axis=-1).reshape(-1, 2)
    np.testing.assert_array_equal(place_new(found, 16, everything.astype(np.int32)), found.codes)


def test_a_collapse_is_said_with_a_remedy():
    codes = np.zeros((100, 2), dtype=np.int32)
    codes[:, 1] = np.arange(100)
    warnings = collapse_warnings(ItemCodes(codes, (100, 100)).statistics())
    assert len(warnings) == 1
    assert "level 1 has collapsed: 1 of 100 codes" in warnings[0]
    assert "--restart-dead" in warnings[0]


def test_a_damaged_checkpoint_is_as_none(tmp_path):
    vectors, _ = clusters()
    (tmp_path / "training.pt").write_bytes(b"cut off")
    found, _ = train_rqvae(vectors, CONFIG, RECIPE, checkpoint=tmp_path / "training.pt")
    expected, _ = train_rqvae(vectors, CONFIG, RECIPE)
    assert torch.equal(found.codebooks, expected.codebooks)
