import msgspec
import pytest

from compression.config import PRESETS, CompressionConfig, preset
from compression.errors import ConfigError, KeepRatioError


def test_presets_say_what_differs_from_the_defaults():
    assert preset("default") == CompressionConfig(weigh_outputs=True, shared_inputs=True, allocation="importance")
    assert preset("whitened").alignment == "none"
    plain = preset("plain-svd", keep_ratio=0.3)
    assert (plain.normalize, plain.alignment, plain.keep_ratio) == (False, "none", 0.3)


def test_an_unknown_preset_names_the_known_ones():
    with pytest.raises(ConfigError, match=f"preset is 'best'; expected one of {', '.join(PRESETS)}"):
        preset("best")


@pytest.mark.parametrize("keep_ratio", [0, -1, 1.5])
def test_a_keep_ratio_outside_its_range_is_refused_at_once(keep_ratio):
    with pytest.raises(KeepRatioError, match=f"keep_ratio is {keep_ratio}; expected above 0 and at most 1"):
        CompressionConfig(keep_ratio=keep_ratio)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alignment": "best"}, "alignment is 'best'; expected one of none, update, alternating, free"),
        ({"route": "svd"}, "route is 'svd'; expected cholesky, eigen or gram"),
        ({"sweeps": 0}, "sweeps is 0; expected at least 1"),
        ({"route": "gram"}, "alignment 'free' needs the inverse of a covariance"),
        ({"alpha": 1.5}, r"alpha is 1\.5; expected 0 to 1"),
        ({"shrinkage": -1}, "shrinkage is -1; expected 0 to 1"),
        ({"scarcity": 2}, "scarcity is 2; expected 0 to 1"),
        ({"normalize": False}, "alignment 'free' .* Choose alignment 'update' or 'none', or normalize"),
    ],
)
def test_options_that_make_no_sense_say_what_to_choose(options, message):
    with pytest.raises(ConfigError, match=message):
        CompressionConfig(**options)


def test_a_configuration_survives_json():
    config = CompressionConfig(dense=("model.layers.0.mlp.*",), alpha=0.5)
    assert msgspec.json.decode(msgspec.json.encode(config), type=CompressionConfig) == config
