import json

import pytest
import torch

from compression.checkpoint import load_model, save_model
from compression.config import CompressionConfig, preset
from compression.errors import CalibrationError, CheckpointError, UnsupportedModelError
from compression.pipeline import compress
from compression.streaming import FolderBlocks, compress_checkpoint
from odllm_artifact import partial_folder, write_folder


def bytes_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def stream(source, out, batches, config=None, **options):
    with write_folder(out) as folder:
        work = partial_folder(out) / "blocks"
        return compress_checkpoint(source, folder, batches, config or CompressionConfig(), work_folder=work, **options)


def in_memory(source, out, batches, config=None, dtype=torch.float32):
    model = load_model(source, dtype=dtype)
    report = compress(model, batches, config or CompressionConfig())
    save_model(model, out)
    return report


@pytest.fixture
def dense(make_llama, tmp_path):
    save_model(make_llama(num_hidden_layers=3, attention_bias=True), tmp_path / "dense")
    return tmp_path / "dense"


CONFIGS = {
    "default": CompressionConfig(),
    "paper": preset("paper", alpha=0.5),
    "plain-svd": preset("plain-svd"),
    "dense-escape": CompressionConfig(dense=("model.layers.0.mlp.*", "*.2.self_attn.[qo]_proj")),
    "shared-inputs": CompressionConfig(shared_inputs=True),
    "all-dense": CompressionConfig(keep_ratio=1.0),
}


@pytest.mark.parametrize("variant", list(CONFIGS))
def test_a_streamed_compression_writes_the_bytes_of_one_in_memory(dense, batches, tmp_path, variant):
    expected = in_memory(dense, tmp_path / "memory", batches, CONFIGS[variant])
    report = stream(dense, tmp_path / "streamed", batches, CONFIGS[variant])
    assert bytes_of(tmp_path / "streamed") == bytes_of(tmp_path / "memory")
    assert report.linears == expected.linears
    assert (report.parameters_before, report.parameters_after) == (
        expected.parameters_before,
        expected.parameters_after,
    )
    assert not (tmp_path / "streamed.partial").exists()


@pytest.mark.parametrize("tied", [True, False])
def test_shards_go_in_and_come_out(make_llama, batches, tmp_path, tied):
    model = make_llama(tie_word_embeddings=tied)
    model.save_pretrained(tmp_path / "dense", max_shard_size="20KB")
    in_memory(tmp_path / "dense", tmp_path / "memory", batches)
    stream(tmp_path / "dense", tmp_path / "streamed", batches, shard_bytes=16_000)
    shards = sorted(path.name for path in (tmp_path / "streamed").glob("*.safetensors"))
    assert len(shards) > 1
    assert all((tmp_path / "streamed" / name).stat().st_size < 18_000 for name in shards)
    index = json.loads((tmp_path / "streamed" / "model.safetensors.index.json").read_text())
    assert sorted(set(index["weight_map"].values())) == shards
    streamed, memory = (load_model(tmp_path / name).state_dict() for name in ("streamed", "memory"))
    assert streamed.keys() == memory.keys()
    assert all(torch.equal(tensor, memory[name]) for name, tensor in streamed.items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_any_stored_dtype_is_computed_in_float32_and_stored_as_it_was(make_llama, batches, tmp_path, dtype):
    model = make_llama(attention_bias=True).to(dtype)
    save_model(model, tmp_path / "dense")
    report = stream(tmp_path / "dense", tmp_path / "streamed", batches)
    stored = load_model(tmp_path / "streamed", dtype=None).state_dict()
    assert {tensor.dtype for tensor in stored.values()} == {dtype}
    assert torch.equal(stored["model.embed_tokens.weight"], model.model.embed_tokens.weight)
    assert json.loads((tmp_path / "streamed" / "config.json").read_text())["dtype"] == str(dtype).removeprefix("torch.")
    expected = in_memory(tmp_path / "dense", tmp_path / "memory", batches)
    first, second = ([linear.loss_after for linear in one.linears] for one in (report, expected))
    assert first == pytest.approx(second, rel=0.05, abs=1e-3)


def test_what_is_computed_in_half_precision_is_what_a_half_precision_model_gives(make_llama, batches, tmp_path):
    save_model(make_llama().to(torch.bfloat16), tmp_path / "dense")
    in_memory(tmp_path / "dense", tmp_path / "memory", batches, dtype=None)
    stream(tmp_path / "dense", tmp_path / "streamed", batches, dtype=None)
    assert bytes_of(tmp_path / "streamed") == bytes_of(tmp_path / "memory")


def test_no_more_than_one_block_has_values(dense, batches, monkeypatch, tmp_path):
    filled = []
    whole = FolderBlocks._filled

    def watch(self, module, prefix):
        filled.append([name for name, tensor in self.model.named_parameters() if tensor.device.type != "meta"])
        return whole(self, module, prefix)

    monkeypatch.setattr(FolderBlocks, "_filled", watch)
    stream(dense, tmp_path / "streamed", batches)
    assert len(filled) == 4  # the embedding and three blocks, each while nothing else was there
    assert not any(filled)


def test_a_missing_shard_is_named_before_any_work(llama, batches, tmp_path):
    llama.save_pretrained(tmp_path / "dense", max_shard_size="20KB")
    (tmp_path / "dense" / "model-00002-of-00004.safetensors").unlink(missing_ok=True)
    with pytest.raises(CheckpointError, match=r"1 of \d shards missing: model-00002-of-.*Fetch them again"):
        stream(tmp_path / "dense", tmp_path / "out", batches)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("left", [5, 100, -50])
def test_a_truncated_file_is_named_before_any_work(dense, batches, tmp_path, left):
    path = dense / "model.safetensors"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read as safetensors.*Fetch or make it"):
        stream(dense, tmp_path / "out", batches)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["layers.2.mlp.up_proj", "norm", "layers.0.input_layernorm"])
def test_weights_that_are_not_finite_are_named_before_any_work(make_llama, batches, tmp_path, name, value):
    model = make_llama(num_hidden_layers=3)
    with torch.no_grad():
        model.model.get_submodule(name).weight.view(-1)[0] = value
    save_model(model, tmp_path / "dense")
    heard = []
    with pytest.raises(CheckpointError, match=rf"model\.{name}\.weight holds NaN or infinite weights\. Train, fetch"):
        stream(tmp_path / "dense", tmp_path / "out", batches, progress=lambda *said: heard.append(said))
    assert not heard
    assert not (tmp_path / "out").exists()


def test_activations_that_overflow_name_the_layer_and_keep_the_finished_blocks(make_llama, batches, tmp_path):
    model = make_llama(num_hidden_layers=3)
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight.mul_(1e30)
        model.model.layers[1].mlp.up_proj.weight.mul_(1e30)
    save_model(model, tmp_path / "dense")
    with pytest.raises(CalibrationError, match=r"batch 0: .*model\.layers\.1\.mlp\.down_proj\. Check the weights"):
        stream(tmp_path / "dense", tmp_path / "out", batches)
    assert not (tmp_path / "out").exists()
    finished = [path.name for path in (tmp_path / "out.partial" / "blocks").glob("*.json")]
    assert finished == ["block-000.json"]


@pytest.mark.parametrize("lengths", [(), (0, 0)])
def test_no_calibration_data_is_refused(dense, make_batches, tmp_path, lengths):
    batches = make_batches((4,))[: len(lengths)]
    empty = [type(batch)(batch.input_ids, torch.zeros_like(batch.attention_mask)) for batch in batches]
    with pytest.raises(CalibrationError, match=r"no calibration data: \d batches hold no token"):
        stream(dense, tmp_path / "out", empty)
    assert not (tmp_path / "out").exists()


def test_fewer_tokens_than_the_rank_are_refused(dense, make_batches, tmp_path):
    with pytest.raises(CalibrationError, match=r"4 calibration tokens cannot determine factors of rank 9\. Give more"):
        stream(dense, tmp_path / "out", make_batches((4,)))
    assert not (tmp_path / "out").exists()


def test_a_compressed_folder_is_not_compressed_again(dense, batches, tmp_path):
    stream(dense, tmp_path / "once", batches)
    with pytest.raises(UnsupportedModelError, match=r"low-rank already\. Compress the dense model"):
        stream(tmp_path / "once", tmp_path / "twice", batches)


def test_a_quantised_folder_is_refused(dense, batches, tmp_path):
    from safetensors.torch import load_file, save_file

    tensors = load_file(dense / "model.safetensors")
    name = "model.layers.0.mlp.up_proj.weight"
    save_file(tensors | {name: tensors[name].to(torch.int8)}, dense / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"up_proj\.weight is stored as I8; expected one of F64, F32, F16, BF16"):
        stream(dense, tmp_path / "out", batches)


def test_a_changed_weight_file_starts_anew(dense, make_llama, batches, tmp_path):
    work = tmp_path / "work"
    compress_checkpoint(dense, tmp_path / "first", batches, CompressionConfig(), work_folder=work)
    again = compress_checkpoint(dense, tmp_path / "again", batches, CompressionConfig(), work_folder=work)
    assert again.blocks_resumed == 3
    assert bytes_of(tmp_path / "again") == bytes_of(tmp_path / "first")
    other = make_llama(num_hidden_layers=3, attention_bias=True)
    with torch.no_grad():
        other.model.norm.weight.mul_(2)
    save_model(other, dense)
    changed = compress_checkpoint(dense, tmp_path / "changed", batches, CompressionConfig(), work_folder=work)
    assert changed.blocks_resumed == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_cuda_device_gives_the_same_factors(dense, batches, tmp_path):
    on_cpu = stream(dense, tmp_path / "cpu", batches, device="cpu")
    on_cuda = stream(dense, tmp_path / "cuda", batches, device="auto")
    assert [linear.loss_after for linear in on_cuda.linears] == pytest.approx(
        [linear.loss_after for linear in on_cpu.linears], rel=1e-2
    )
    ids = batches[0].input_ids
    torch.testing.assert_close(
        load_model(tmp_path / "cuda")(ids).logits, load_model(tmp_path / "cpu")(ids).logits, rtol=0, atol=1e-2
    )
