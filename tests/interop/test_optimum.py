"""Against the real optimum: it opens our decoder form, and our processor goes behind its export.

Runs in an environment of its own (`make interop`): optimum-onnx cannot be installed beside transformers 5.
"""

import numpy as np
import onnx
import pytest
import torch
from onnx_decoding import DecoderSession, beam_search

from odllm_artifact import read_json, write_json
from odllm_export.decoder_form import export_decoder
from odllm_export.engine import session_options
from odllm_export.graph.processor import Rules
from odllm_export.processor import write_processor
from odllm_export.splice import splice

optimum = pytest.importorskip("optimum.onnxruntime", reason="optimum-onnx has an environment of its own: make interop")

pytestmark = pytest.mark.interop

FIRST, LEVELS, END = 10, 3, 3


def open_decoder(folder, **options):
    return optimum.ORTModelForCausalLM.from_pretrained(folder, session_options=session_options(1), **options)


@pytest.fixture
def decoder(model_folder, tmp_path):
    export_decoder(model_folder, tmp_path / "decoder")
    return open_decoder(tmp_path / "decoder")


@pytest.fixture
def catalog(make_catalog):
    return make_catalog(items=40)


@pytest.fixture
def prompt(make_prompt, catalog):
    codes = catalog.item_code_rows - catalog.level_offsets
    return make_prompt().encode(codes[[3, 1, 4, 15]])


def left_padded(lengths=(9, 4, 1)):
    random, longest = np.random.default_rng(0), max(lengths)
    mask = (np.arange(longest) >= longest - np.array(lengths)[:, None]).astype(np.int64)
    ids = random.integers(1, FIRST + 12, mask.shape) * mask
    return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}


def allowed_tokens(catalog, prompt, end=None):
    """Return transformers' `prefix_allowed_tokens_fn` of a catalogue."""
    legal = {}
    for codes in catalog.item_code_rows.tolist():
        for depth in range(LEVELS):
            legal.setdefault(tuple(codes[:depth]), set()).add(codes[depth] + FIRST)

    def allowed(_, ids):
        written = tuple(token - FIRST for token in ids[len(prompt) :].tolist())
        return sorted(legal[written]) if len(written) < LEVELS else [end]

    return allowed


def generate(model, prompt, catalog, num_beams, *, end=None, **options):
    """Return what transformers' constrained beam search writes behind the prompt, and the scores."""
    output = model.generate(
        input_ids=torch.from_numpy(prompt)[None],
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        num_beams=num_beams,
        num_return_sequences=num_beams,
        min_new_tokens=LEVELS,
        max_new_tokens=LEVELS + (end is not None),
        do_sample=False,
        length_penalty=0.0,
        prefix_allowed_tokens_fn=allowed_tokens(catalog, prompt, end),
        return_dict_in_generate=True,
        output_scores=True,
        **options,
    )
    return output.sequences[:, len(prompt) :].numpy(), output.sequences_scores.numpy()


@pytest.mark.parametrize("num_beams", [1, 4], ids=["greedy", "beams"])
@pytest.mark.parametrize("io_binding", [False, True], ids=["arrays", "io-binding"])
def test_generate_writes_what_transformers_writes(decoder, reference, num_beams, io_binding):
    decoder.use_io_binding = io_binding
    options = {"num_beams": num_beams, "do_sample": False, "max_new_tokens": 12, "pad_token_id": 0}
    ours, theirs = (model.generate(**left_padded(), **options) for model in (decoder, reference))
    assert ours.tolist() == theirs.tolist()
    assert ours.shape == (3, 9 + 12)


def test_constrained_beam_search_over_our_decoder_is_that_of_transformers(decoder, reference, catalog, prompt):
    ours, theirs = (generate(model, prompt, catalog, 7) for model in (decoder, reference))
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-4)


def test_logits_without_position_ids(decoder, reference):
    ids = left_padded((6, 6))
    with torch.inference_mode():
        ours, theirs = decoder(**ids), reference(**ids)
    torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-4, rtol=0)
    assert ours.past_key_values[0][0].shape == (2, reference.config.num_key_value_heads, 6, 8)


def test_a_configuration_of_transformers_5_is_read(make_model_folder, tmp_path):
    folder, _ = make_model_folder()
    config = read_json(folder / "config.json")
    theta = config.pop("rope_theta")
    rope = {"rope_parameters": {"rope_type": "default", "rope_theta": theta}}
    write_json(folder / "config.json", config | rope | {"transformers_version": "5.0.0"})
    export_decoder(folder, tmp_path / "decoder")
    assert open_decoder(tmp_path / "decoder").generate(**left_padded(), max_new_tokens=2).shape == (3, 11)


def write_behind(decoder_path, catalog, rules, folder):
    folder.mkdir()
    write_processor(catalog, rules, folder)
    splice(decoder_path, folder / "processor.onnx", folder / "spliced.onnx")
    onnx.checker.check_model(str(folder / "spliced.onnx"), full_check=True)
    return DecoderSession(folder / "spliced.onnx")


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("opset", [None, 18, 20], ids=["default", "18", "20"])
def test_the_processor_behind_a_graph_that_optimum_exported(plain_folder, reference, catalog, prompt, tmp_path, opset):
    from optimum.exporters.onnx import main_export

    theirs = tmp_path / "theirs"
    main_export(str(plain_folder), theirs, task="text-generation-with-past", do_validation=False, opset=opset)
    for scoring, renormalize in (("vocab", False), ("codes", True)):
        session = write_behind(theirs / "model.onnx", catalog, Rules(FIRST, scoring), tmp_path / scoring)
        expected = generate(reference, prompt, catalog, 7, renormalize_logits=renormalize)
        written, _, scores = beam_search(session, prompt, LEVELS, 7)
        np.testing.assert_array_equal(written, expected[0])
        np.testing.assert_allclose(scores, expected[1], atol=1e-4)


def test_the_processor_behind_our_decoder_form(model_folder, reference, catalog, prompt, tmp_path):
    export_decoder(model_folder, tmp_path / "decoder")
    session = write_behind(tmp_path / "decoder" / "model.onnx", catalog, Rules(FIRST, "vocab"), tmp_path / "behind")
    expected = generate(reference, prompt, catalog, 7)
    written, _, scores = beam_search(session, prompt, LEVELS, 7)
    np.testing.assert_array_equal(written, expected[0])
    np.testing.assert_allclose(scores, expected[1], atol=1e-4)


def test_the_end_token_is_written_and_scored_as_transformers_does(model_folder, reference, catalog, prompt, tmp_path):
    export_decoder(model_folder, tmp_path / "decoder")
    session = write_behind(tmp_path / "decoder" / "model.onnx", catalog, Rules(FIRST, "vocab", END), tmp_path / "end")
    expected = generate(reference, prompt, catalog, 7, end=END, eos_token_id=END)
    written, _, scores = beam_search(session, prompt, LEVELS + 1, 7)
    assert (written[:, -1] == END).all()
    np.testing.assert_array_equal(written, expected[0])
    np.testing.assert_allclose(scores, expected[1], atol=1e-4)
