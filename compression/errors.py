"""What can go wrong while compressing, by what the user must change.

    CompressionError                the root of this package's tree
    ├── UnsupportedModelError       choose another model: not of the LLaMA family, or a part of it is missing
    ├── RankError                   a rank or plan that does not fit the matrix it is meant for
    │   └── KeepRatioError          choose another keep ratio
    ├── CalibrationError            change the calibration data: none, too few tokens, not finite
    ├── ConfigError                 change an option of the compression
    └── CheckpointError             fetch or make the model folder again

A message says what was found, what was expected, and what to do.
"""

from odllm_artifact import OdllmError


class CompressionError(OdllmError):
    """The root of everything this package raises on purpose."""


class UnsupportedModelError(CompressionError):
    """The model is not of a family that this package knows how to walk."""


class RankError(CompressionError):
    """A rank does not fit the matrix it is meant for."""


class KeepRatioError(RankError):
    """The keep ratio is outside (0, 1], or no rank can meet it."""


class CalibrationError(CompressionError):
    """The calibration data cannot carry the statistics."""


class ConfigError(CompressionError):
    """Two options contradict each other, or one is out of range."""


class CheckpointError(CompressionError):
    """A model folder is incomplete, damaged, or of another shape than its configuration says."""
