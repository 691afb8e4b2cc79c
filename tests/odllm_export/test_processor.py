"""The logits processor against brute force over the items, and behind decoders against the torch search."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_decoding import DecoderSession, beam_search, items_of, open_session

from compression.checkpoint import load_model
from lcrec.errors import ItemCodesError
from lcrec.search import search
from odllm_artifact import ArtifactError, read_json, sha256_file
from odllm_export.decoder_form import export_decoder
from odllm_export.errors import ExportError
from odllm_export.graph.processor import CATALOG_INPUTS, DEAD, OPSET, Rules
from odllm_export.processor import export_processor, write_processor
from odllm_export.splice import splice, spliced

FIRST, VOCABULARY, END = 10, 25, 3


@pytest.fixture
def make_processor(tmp_path):
    """Write a processor; return its two sessions, and what else they need in every call."""

    def make(catalog, scoring="vocab", end=None, embed=True):
        write_processor(catalog, Rules(FIRST, scoring, end), tmp_path, embed=embed)
        arrays = {} if embed else {name: catalog.arrays()[name] for name in CATALOG_INPUTS}
        return open_session(tmp_path / "processor.onnx"), open_session(tmp_path / "advance.onnx"), arrays

    return make


def prefixes(catalog):
    """Return the tokens that lead to every node, by node, DEAD left out, from the live items' own codes."""
    found = {0: ()}
    for path, codes in zip(catalog.item_path.tolist(), catalog.item_code_rows.tolist(), strict=True):
        for depth in range(1, catalog.levels + 1):
            found[path[depth - 1]] = tuple(FIRST + code for code in codes[:depth])
    return found


def expected_scores(catalog, states, logits, scoring, end):
    """Return `[states, vocabulary]` by brute force in float64: a token is legal if a live item's codes go on so."""
    prefix = prefixes(catalog)
    live = catalog.live_items[catalog.item_path[:, -1]] > 0
    items = [tuple(FIRST + code for code in codes) for codes in catalog.item_code_rows[live].tolist()]
    scores = np.full(logits.shape, -np.inf)
    for row, state in enumerate(states):
        written = prefix.get(state)
        complete = written is None or len(written) == catalog.levels
        legal = {end} - {None} if complete else {i[len(written)] for i in items if i[: len(written)] == written}
        if not legal:
            continue
        columns = sorted(legal)
        values = logits[row].astype(np.float64)
        scores[row, columns] = values[columns] - np.logaddexp.reduce(values[columns] if scoring == "codes" else values)
    return scores


def every_state(catalog, seed=0):
    states = np.append(np.random.default_rng(seed).permutation(catalog.nodes), DEAD).astype(np.int32)
    logits = np.random.default_rng(seed).normal(size=(len(states), VOCABULARY), scale=4).astype(np.float32)
    return states, logits


@pytest.mark.parametrize("embed", [True, False], ids=["embedded", "inputs"])
@pytest.mark.parametrize("end", [None, END], ids=["no-end", "end"])
@pytest.mark.parametrize("scoring", ["vocab", "codes"])
@pytest.mark.parametrize("sizes", [(4, 4, 4), (3, 7), (2, 1, 3, 2)], ids=str)
def test_scores_of_every_state_in_one_batch(make_processor, make_catalog, sizes, scoring, end, embed):
    catalog = make_catalog(items=20, sizes=sizes).block([2, 3, 5, 7, 11])
    processor, _, arrays = make_processor(catalog, scoring, end, embed)
    states, logits = every_state(catalog)
    (scores,) = processor.run(["scores"], {"logits": logits, "state": states, **arrays})
    np.testing.assert_allclose(scores, expected_scores(catalog, states.tolist(), logits, scoring, end), atol=1e-5)


@pytest.mark.parametrize("end", [None, END], ids=["no-end", "end"])
@pytest.mark.parametrize("scoring", ["vocab", "codes"])
def test_candidates_are_the_finite_scores_with_their_states(make_processor, make_catalog, scoring, end):
    catalog = make_catalog(items=20)
    processor, _, _ = make_processor(catalog, scoring, end)
    states, logits = every_state(catalog)
    dense, tokens, scores, after = processor.run(None, {"logits": logits, "state": states})
    prefix = prefixes(catalog)
    node_of = {written: node for node, written in prefix.items()}
    for row, state in enumerate(states.tolist()):
        finite = np.isfinite(scores[row])
        assert sorted(tokens[row][finite]) == np.flatnonzero(np.isfinite(dense[row])).tolist()
        np.testing.assert_array_equal(dense[row][tokens[row][finite]], scores[row][finite])
        assert (after[row][~finite] == DEAD).all()
        for token, node in zip(tokens[row][finite].tolist(), after[row][finite].tolist(), strict=True):
            assert node == (DEAD if token == end else node_of[(*prefix[state], token)])


@pytest.mark.parametrize("embed", [True, False], ids=["embedded", "inputs"])
def test_advancing_by_any_token_from_any_state(make_processor, make_catalog, embed):
    catalog = make_catalog(items=20)
    _, advance, arrays = make_processor(catalog, embed=embed)
    prefix = prefixes(catalog)
    node_of = {written: node for node, written in prefix.items()}
    states = np.arange(DEAD, catalog.nodes).astype(np.int32)
    for token in range(VOCABULARY):
        feed = {"state": states, "token": np.full(len(states), token, np.int64), **arrays}
        (after,) = advance.run(["next_state"], feed)
        expected = [node_of.get((*prefix[s], token), DEAD) if s != DEAD else DEAD for s in states.tolist()]
        assert after.tolist() == expected


def test_arrays_as_inputs_serve_another_catalogue(make_processor, make_catalog):
    processor, _, _ = make_processor(make_catalog(items=20), embed=False)
    other = make_catalog(items=33, seed=4)
    states, logits = every_state(other)
    arrays = {name: other.arrays()[name] for name in CATALOG_INPUTS}
    (scores,) = processor.run(["scores"], {"logits": logits, "state": states, **arrays})
    np.testing.assert_allclose(scores, expected_scores(other, states.tolist(), logits, "vocab", None), atol=1e-5)


def test_operators_mean_the_same_in_every_opset_the_processor_can_be_spliced_into(
    make_processor, make_catalog, tmp_path
):
    make_processor(make_catalog(), "codes", END)
    processor = onnx.load(tmp_path / "processor.onnx")
    for kind in {node.op_type for node in processor.graph.node}:
        own = onnx.defs.get_schema(kind, OPSET)
        for opset in range(OPSET + 1, onnx.defs.onnx_opset_version() + 1):
            later = onnx.defs.get_schema(kind, opset)
            assert [i.name for i in later.inputs[: len(own.inputs)]] == [i.name for i in own.inputs], kind
            assert all(
                i.option == onnx.defs.OpSchema.FormalParameterOption.Optional for i in later.inputs[len(own.inputs) :]
            )
            assert own.attributes.keys() <= later.attributes.keys(), kind
            for name, attribute in own.attributes.items():
                assert later.attributes[name].default_value == attribute.default_value, kind


@pytest.fixture
def recommender(make_model_folder, make_catalog, tmp_path):
    """A model with its `decoder` form, and the catalogue with a processor for each scoring."""
    folder, prompt = make_model_folder(num_hidden_layers=3)
    catalog = make_catalog()
    export_decoder(folder, tmp_path / "decoder")
    for scoring in ("vocab", "codes"):
        (tmp_path / scoring).mkdir()
        write_processor(catalog, Rules(prompt.first_code_token, scoring), tmp_path / scoring)
    return load_model(folder), prompt, catalog


@pytest.mark.parametrize("scoring", ["vocab", "codes"])
def test_beam_search_behind_the_decoder_form_is_the_torch_search(recommender, tmp_path, scoring):
    model, prompt, catalog = recommender
    out = tmp_path / "decoder" / f"{scoring}.onnx"
    splice(tmp_path / "decoder" / "model.onnx", tmp_path / scoring / "processor.onnx", out)
    onnx.checker.check_model(str(out), full_check=True)
    session = DecoderSession(out)
    codes, random = catalog.item_code_rows - catalog.level_offsets, np.random.default_rng(0)
    for length in (1, 2, 5, 9):
        ids = prompt.encode(codes[random.integers(0, catalog.items, length)])
        (expected,) = search(model, [ids], catalog, prompt.first_code_token, num_beams=7, scoring=scoring)
        _, states, scores = beam_search(session, ids, catalog.levels, 7)
        rows, scores = items_of(catalog, states, scores, 7)
        np.testing.assert_array_equal(rows, expected.rows)
        np.testing.assert_allclose(scores, expected.scores, atol=1e-4)


def test_greedy_decoding_over_dense_scores_and_advance_with_left_padding(recommender, tmp_path):
    model, prompt, catalog = recommender
    splice(tmp_path / "decoder" / "model.onnx", tmp_path / "vocab" / "processor.onnx", tmp_path / "spliced.onnx")
    session, advance = DecoderSession(tmp_path / "spliced.onnx"), open_session(tmp_path / "vocab" / "advance.onnx")
    codes = catalog.item_code_rows - catalog.level_offsets
    prompts = [prompt.encode(codes[:4]), prompt.encode(codes[4:5]), prompt.encode(codes[5:7])]
    longest = max(map(len, prompts))
    ids = np.stack([np.pad(p, (longest - len(p), 0)) for p in prompts])
    mask = np.stack([np.pad(np.ones_like(p), (longest - len(p), 0)) for p in prompts])
    state, total, ends = np.zeros(3, np.int32), np.zeros(3, np.float32), np.ones((3, 1), np.int64)
    for _ in range(catalog.levels):
        (scores,) = session.run(["scores"], ids, mask, state=state)
        token = scores.argmax(axis=1)
        total += scores.max(axis=1)
        (state,) = advance.run(None, {"state": state, "token": token})
        ids, mask = token[:, None], np.concatenate([mask, ends], axis=1)
    for row, found in enumerate(search(model, prompts, catalog, prompt.first_code_token, num_beams=1)):
        assert catalog.item_path[found.rows[0], -2] == state[row]
        np.testing.assert_allclose(total[row], found.scores[0], atol=1e-4)


def test_in_the_decoders_own_folder_the_weights_are_shared_and_elsewhere_copied(recommender, tmp_path):
    decoder, processor = tmp_path / "decoder", tmp_path / "vocab" / "processor.onnx"
    splice(decoder / "model.onnx", processor, decoder / "constrained.onnx")
    assert sorted(p.name for p in decoder.glob("*.data")) == ["model.onnx.data"]
    (tmp_path / "else").mkdir()
    splice(decoder / "model.onnx", processor, tmp_path / "else" / "model.onnx")
    assert sorted(p.name for p in (tmp_path / "else").iterdir()) == ["model.onnx", "model.onnx.data"]
    assert sha256_file(tmp_path / "else" / "model.onnx.data") == sha256_file(decoder / "model.onnx.data")
    open_session(decoder / "constrained.onnx"), open_session(tmp_path / "else" / "model.onnx")


def test_two_processors_behind_one_decoder_need_two_prefixes(recommender, tmp_path):
    decoder, one, two = (tmp_path / name for name in ("decoder", "vocab", "codes"))
    splice(decoder / "model.onnx", one / "processor.onnx", decoder / "one.onnx")
    with pytest.raises(ExportError, match=r"names candidate.*another prefix"):
        splice(decoder / "one.onnx", two / "processor.onnx", decoder / "both.onnx")
    splice(decoder / "one.onnx", two / "processor.onnx", decoder / "both.onnx", prefix="codes_")
    ids, state = np.array([[1, 5, 11]]), np.zeros(1, np.int32)
    session = DecoderSession(decoder / "both.onnx")
    vocab, codes = session.run(["scores", "codes_scores"], ids, np.ones_like(ids), state=state, codes_state=state)
    finite = np.isfinite(vocab)
    np.testing.assert_array_equal(finite, np.isfinite(codes))
    np.testing.assert_allclose(np.exp(codes[finite]).sum(), 1.0, atol=1e-5)
    assert np.exp(vocab[finite]).sum() < 1.0


def toy_decoder(opset=18, ir_version=8, dtype=TensorProto.FLOAT, shape=("b", "s", VOCABULARY), name="logits"):
    """Return a decoder that gives back what it is fed."""
    value = [helper.make_tensor_value_info(n, dtype, list(shape)) for n in ("given", name)]
    graph = helper.make_graph([helper.make_node("Identity", ["given"], [name])], "toy", value[:1], value[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


@pytest.mark.parametrize(
    ("decoder", "given"),
    [
        (toy_decoder(), np.float32),
        (toy_decoder(opset=23, ir_version=11), np.float32),
        (toy_decoder(ir_version=4), np.float32),
        (toy_decoder(dtype=TensorProto.FLOAT16), np.float16),
        (toy_decoder(shape=("b", VOCABULARY)), np.float32),
    ],
    ids=["opset-18", "opset-23", "old-ir", "half", "last-only"],
)
def test_decoders_of_many_kinds(make_processor, make_catalog, tmp_path, decoder, given):
    catalog = make_catalog(items=20)
    make_processor(catalog)
    model = spliced(decoder, onnx.load(tmp_path / "processor.onnx"))
    onnx.checker.check_model(model, full_check=True)
    assert model.opset_import[0].version == decoder.opset_import[0].version
    assert model.ir_version >= 8
    onnx.save(model, tmp_path / "spliced.onnx")
    states, logits = every_state(catalog)
    logits = logits.astype(given)
    fed = logits if len(decoder.graph.input[0].type.tensor_type.shape.dim) == 2 else np.stack([-logits, logits], axis=1)
    (scores,) = open_session(tmp_path / "spliced.onnx").run(["scores"], {"given": fed, "state": states})
    expected = expected_scores(catalog, states.tolist(), logits, "vocab", None)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("decoder", "options", "message"),
    [
        (toy_decoder(opset=17), {}, r"opset 17; the processor needs opset 18"),
        (toy_decoder(name="scores_of_tokens"), {}, r"no output 'logits', but scores_of_tokens"),
        (toy_decoder(shape=("b", 1, "s", VOCABULARY)), {}, r"4 axes"),
        (toy_decoder(name="scores"), {"logits": "scores"}, r"names scores itself; give the processor another prefix"),
    ],
    ids=["opset", "output", "axes", "names"],
)
def test_decoders_that_do_not_fit_are_refused(make_processor, make_catalog, tmp_path, decoder, options, message):
    make_processor(make_catalog())
    with pytest.raises(ExportError, match=message):
        spliced(decoder, onnx.load(tmp_path / "processor.onnx"), **options)


def test_names_inside_a_decoders_subgraphs_are_taken(make_processor, make_catalog, tmp_path):
    make_processor(make_catalog())
    decoder = toy_decoder()
    inner = helper.make_graph(
        [helper.make_node("Constant", [], ["state"], value_float=1.0)],
        "branch",
        [],
        [helper.make_tensor_value_info("state", TensorProto.FLOAT, [])],
    )
    yes = helper.make_node("Constant", [], ["yes"], value=helper.make_tensor("yes", TensorProto.BOOL, [], [True]))
    decoder.graph.node.extend([yes, helper.make_node("If", ["yes"], ["one"], then_branch=inner, else_branch=inner)])
    with pytest.raises(ExportError, match="names state itself"):
        spliced(decoder, onnx.load(tmp_path / "processor.onnx"))


def test_files_that_are_in_the_way_missing_or_no_graphs(recommender, tmp_path):
    decoder, processor = tmp_path / "decoder" / "model.onnx", tmp_path / "vocab" / "processor.onnx"
    out = tmp_path / "out.onnx"
    with pytest.raises(ExportError, match="the decoder itself"):
        splice(decoder, processor, decoder, overwrite=True)
    with pytest.raises(ExportError, match=r"inputs attention_mask.*a processor"):
        splice(decoder, decoder, out)
    with pytest.raises(ExportError, match="cannot read"):
        splice(tmp_path / "nowhere.onnx", processor, out)
    (tmp_path / "broken.onnx").write_bytes(b"no graph at all")
    with pytest.raises(ExportError, match="damaged"):
        splice(tmp_path / "broken.onnx", processor, out)
    assert not out.exists()
    out.write_bytes(b"")
    with pytest.raises(ExportError, match="exists already"):
        splice(decoder, processor, out)
    splice(decoder, processor, out, overwrite=True)
    open_session(out)


def test_a_decoder_without_its_weights_leaves_nothing(recommender, tmp_path):
    (tmp_path / "decoder" / "model.onnx.data").unlink()
    (tmp_path / "else").mkdir()
    with pytest.raises(ExportError, match=r"model\.onnx\.data: the decoder's weights are missing"):
        splice(tmp_path / "decoder/model.onnx", tmp_path / "vocab/processor.onnx", tmp_path / "else/model.onnx")
    assert list((tmp_path / "else").iterdir()) == []


@pytest.mark.parametrize("location", ["../secret.data", "/tmp/secret.data"])
def test_weights_outside_the_decoders_folder_are_not_followed(recommender, tmp_path, location):
    path = tmp_path / "decoder" / "model.onnx"
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    onnx.save(model, path)
    with pytest.raises(ExportError, match="outside its folder"):
        splice(path, tmp_path / "vocab" / "processor.onnx", tmp_path / "out.onnx")


def test_the_exported_folder_says_what_it_is(make_model_folder, make_dataset, tmp_path):
    folder, prompt = make_model_folder()
    export_decoder(folder, tmp_path / "decoder")
    behind = tmp_path / "decoder" / "model.onnx"
    facts = export_processor(folder, make_dataset(), tmp_path / "out", scoring="codes", embed=False, behind=behind)
    assert read_json(tmp_path / "out" / "processor.json") == facts
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*facts["files"], "processor.json"}
    assert set(facts["files"]) == {"processor.onnx", "advance.onnx", "catalog.bin", "model.onnx", "model.onnx.data"}
    assert all(fact["sha256"] == sha256_file(tmp_path / "out" / name) for name, fact in facts["files"].items())
    assert facts["first_code_token"] == prompt.first_code_token
    inputs = {i.name for i in open_session(tmp_path / "out" / "model.onnx").get_inputs()}
    assert {"state", *facts["catalog_inputs"]} <= inputs


@pytest.mark.parametrize(
    ("options", "sizes", "message"),
    [
        ({"scoring": "logits"}, (4, 4, 4), "vocab, codes"),
        ({"end_token": 25}, (4, 4, 4), "end token is 25; a token id below 25"),
        ({"end_token": 21}, (4, 4, 4), r"none of the code tokens 10 … 21"),
        ({}, (4, 4, 5), r"have the sizes \[4, 4, 5\], those of .* \[4, 4, 4\]"),
    ],
)
def test_options_that_do_not_fit_are_refused(make_model_folder, make_dataset, tmp_path, options, sizes, message):
    folder, _ = make_model_folder()
    with pytest.raises((ExportError, ItemCodesError), match=message):
        export_processor(folder, make_dataset(sizes=sizes), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_processor_that_is_there_is_kept(make_model_folder, make_dataset, tmp_path):
    folder, _ = make_model_folder()
    export_processor(folder, make_dataset(), tmp_path / "out")
    with pytest.raises(ArtifactError, match="exists already"):
        export_processor(folder, make_dataset(), tmp_path / "out")
    export_processor(folder, make_dataset(), tmp_path / "out", overwrite=True)
