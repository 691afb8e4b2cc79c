import json
import shutil

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import LlamaForCausalLM

from compression.checkpoint import check_supported, load_model, save_model, write_tensors
from compression.errors import CheckpointError, UnsupportedModelError
from compression.lowrank import LowRankLinear, factored_linears, projection_names, replace_linear

QUERY = "model.layers.0.self_attn.q_proj"


def factored(model, rank=4):
    for name in projection_names(model):
        dense = model.get_submodule(name)
        replace_linear(
            model, name, LowRankLinear(dense.in_features, dense.out_features, rank, bias=dense.bias is not None)
        )
    return model


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def change_tensors(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.fixture
def saved(llama, tmp_path):
    folder = tmp_path / "model"
    save_model(factored(llama), folder)
    return folder


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_save_load_save_is_bit_equal_and_never_grows(make_llama, tmp_path, tied, bias):
    model = factored(make_llama(tie_word_embeddings=tied, attention_bias=bias))
    save_model(model, tmp_path / "first")
    loaded = load_model(tmp_path / "first")
    save_model(loaded, tmp_path / "second")
    assert bytes_of(tmp_path / "first") == bytes_of(tmp_path / "second")
    ids = torch.arange(1, 9)[None]
    assert torch.equal(loaded(ids).logits, model(ids).logits)
    assert (loaded.lm_head.weight is loaded.model.embed_tokens.weight) == tied
    assert not loaded.training


def test_a_dense_folder_of_save_pretrained_loads_with_the_same_call(llama, tmp_path):
    llama.save_pretrained(tmp_path)
    loaded = load_model(tmp_path)
    ids = torch.arange(1, 9)[None]
    assert torch.equal(loaded(ids).logits, llama(ids).logits)
    assert not factored_linears(loaded)


def test_a_dense_folder_of_ours_loads_with_from_pretrained(llama, tmp_path):
    save_model(llama, tmp_path)
    assert not (tmp_path / "low_rank.json").exists()
    loaded = LlamaForCausalLM.from_pretrained(tmp_path)
    ids = torch.arange(1, 9)[None]
    assert torch.equal(loaded(ids).logits, llama(ids).logits)


def test_half_precision_is_read_as_float32_or_as_stored(llama, tmp_path):
    save_model(factored(llama).half(), tmp_path)
    assert load_model(tmp_path).dtype == torch.float32
    assert load_model(tmp_path, dtype=None).dtype == torch.float16


def test_loading_draws_no_random_numbers(saved):
    state = torch.get_rng_state()
    load_model(saved)
    assert torch.equal(torch.get_rng_state(), state)


def test_shards_are_read_through_their_index(llama, tmp_path):
    llama.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    ids = torch.arange(1, 9)[None]
    assert torch.equal(load_model(tmp_path)(ids).logits, llama(ids).logits)


def test_a_missing_shard_is_named(llama, tmp_path):
    llama.save_pretrained(tmp_path, max_shard_size="20KB")
    lost = sorted(tmp_path.glob("*.safetensors"))[1]
    lost.unlink()
    with pytest.raises(CheckpointError, match=rf"shards missing: {lost.name}\. Fetch them again"):
        load_model(tmp_path)


def test_a_damaged_index_is_named(llama, tmp_path):
    llama.save_pretrained(tmp_path, max_shard_size="20KB")
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"index\.json has no weight_map. Fetch the model again"):
        load_model(tmp_path)


def test_a_missing_tensor_is_named(saved):
    change_tensors(saved, lambda tensors: tensors.pop(f"{QUERY}.input_factor.weight"))
    with pytest.raises(CheckpointError, match=rf"missing {QUERY}\.input_factor\.weight.*make the model again"):
        load_model(saved)


def test_a_left_over_tensor_is_named(saved):
    change_tensors(saved, lambda tensors: tensors.update({f"{QUERY}.weight": torch.zeros(32, 32)}))
    with pytest.raises(CheckpointError, match=rf"left over {QUERY}\.weight"):
        load_model(saved)


def test_a_misshapen_tensor_is_named_with_both_shapes(saved):
    change_tensors(saved, lambda tensors: tensors.update({f"{QUERY}.input_factor.weight": torch.zeros(5, 32)}))
    with pytest.raises(CheckpointError, match=r"input_factor\.weight is \[5, 32\], expected \[4, 32\]"):
        load_model(saved)


def test_a_factored_folder_without_its_ranks_is_refused(saved):
    (saved / "low_rank.json").unlink()
    with pytest.raises(CheckpointError, match=r"missing model\.layers\.0\.self_attn\.q_proj\.weight; .* and 34 more"):
        load_model(saved)


@pytest.mark.parametrize(
    ("ranks", "message"),
    [
        ({"model.layers.9.self_attn.q_proj": 4}, r"layers\.9\.self_attn\.q_proj is no projection of this model"),
        ({QUERY: "4"}, r"rank of .*q_proj is '4', expected a whole number"),
        ({QUERY: 33}, r"q_proj: rank 33 does not fit a matrix of 32 × 32"),
    ],
)
def test_ranks_that_do_not_fit_the_model_are_named(saved, ranks, message):
    (saved / "low_rank.json").write_text(json.dumps({"schema_version": 1, "ranks": ranks}))
    with pytest.raises(CheckpointError, match=message):
        load_model(saved)


def test_ranks_of_a_newer_schema_are_refused(saved):
    (saved / "low_rank.json").write_text(json.dumps({"schema_version": 3, "ranks": {}}))
    with pytest.raises(CheckpointError, match=r"schema_version is 3, expected at most 2\. Compress the model again"):
        load_model(saved)


def test_a_truncated_file_says_what_to_do(saved):
    path = saved / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read as safetensors.*Fetch or make"):
        load_model(saved)


def test_pickled_weights_are_refused_with_the_way_out(saved):
    (saved / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"Only safetensors are read: save the model again with"):
        load_model(saved)


def test_a_folder_without_configuration_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds no config\.json: expected a model folder"):
        load_model(tmp_path / "nothing")


def test_another_family_is_refused_with_what_is_supported(saved):
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    with pytest.raises(UnsupportedModelError, match=r"model_type is 'gpt2'; supported: 'llama', .* 'qwen3'\. Choose"):
        load_model(saved)
    with pytest.raises(UnsupportedModelError, match=r"model_type is None; supported: 'llama', 'mistral',"):
        check_supported(object())


def test_a_stored_head_that_repeats_the_embedding_is_accepted_and_one_that_differs_is_not(saved, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(saved, other)
    change_tensors(saved, lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"].clone()}))
    load_model(saved)
    change_tensors(other, lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"] + 1}))
    with pytest.raises(CheckpointError, match=r"lm_head\.weight differs from model\.embed_tokens\.weight.*false"):
        load_model(other)


def test_position_tables_of_older_checkpoints_are_left_out(saved):
    change_tensors(saved, lambda t: t.update({"model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(4)}))
    load_model(saved)


def test_a_full_disk_is_said_and_leaves_no_half_file(tmp_path, monkeypatch):
    def full(_, path, **__):
        path.write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("compression.checkpoint.save_file", full)
    with pytest.raises(CheckpointError, match=r"No space left.*Free some space"):
        write_tensors({"a": torch.ones(2)}, tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_second_save_leaves_nothing_of_the_first(llama, tmp_path):
    ids = torch.arange(1, 9)[None]
    for shard_bytes, sharded in ((10_000, True), (10**9, False), (20_000, True)):
        with torch.no_grad():
            llama.model.norm.weight.mul_(1.1)
        save_model(llama, tmp_path, shard_bytes=shard_bytes)
        assert (len(list(tmp_path.glob("*.safetensors"))) > 1) == sharded
        assert (tmp_path / "model.safetensors.index.json").exists() == sharded
        assert torch.equal(load_model(tmp_path)(ids).logits, llama(ids).logits)


def test_shards_of_ours_load_with_from_pretrained(llama, tmp_path):
    save_model(llama, tmp_path, shard_bytes=10_000)
    ids = torch.arange(1, 9)[None]
    assert torch.equal(LlamaForCausalLM.from_pretrained(tmp_path)(ids).logits, llama(ids).logits)
