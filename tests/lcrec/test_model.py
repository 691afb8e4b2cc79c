"""Presets, and presets of a wanted size."""

import pytest

from lcrec.errors import ModelError
from lcrec.model import PRESETS, new_model, parameter_count, resized
from lcrec.prompt import Prompt

PROMPT = Prompt((1,), (), (), 20, (256, 256, 256, 256), 3)
VOCABULARY = 3 + 4 * 256


def parameters_of(preset):
    return parameter_count(new_model(preset, VOCABULARY, PROMPT, seed=0))


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("share", [0.4, 0.5, 0.75, 1.5])
def test_a_resized_preset_has_the_parameters_asked_for(name, share):
    wanted = int(parameters_of(PRESETS[name]) * share)
    assert parameters_of(resized(PRESETS[name], wanted, VOCABULARY)) == pytest.approx(wanted, rel=0.01)


def test_the_presets_own_size_is_its_own_shape():
    preset = PRESETS["tiny"]
    assert resized(preset, parameters_of(preset), VOCABULARY) == preset


def test_heads_keep_their_size_and_share_keys_as_before():
    preset = PRESETS["tiny"]
    found = resized(preset, parameters_of(preset) // 2, VOCABULARY)
    assert found.hidden / found.heads == preset.hidden / preset.heads
    assert found.heads / found.kv_heads == preset.heads / preset.kv_heads
    assert (found.layers, found.epochs) == (preset.layers, preset.epochs)


def test_too_few_parameters_for_the_vocabulary_are_refused():
    with pytest.raises(ModelError, match="2 layers over 1027 tokens has 5000 parameters"):
        resized(PRESETS["tiny"], 5000, VOCABULARY)
