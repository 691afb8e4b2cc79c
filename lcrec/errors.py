"""The error tree of the recommender, by what the user must change.

OdllmError
└── LcrecError
    ├── DatasetError      interaction data, a dataset folder, an item id that is not in it
    ├── ItemCodesError    item codes that are missing, damaged, or do not fit the items
    ├── QuantizerError    a quantizer of item codes that is damaged, of another kind, or cannot be trained
    ├── CatalogError      a catalogue that is damaged or does not fit the model
    ├── PromptError       a history or prompt layout that the model cannot take
    ├── TaskError         a task that is unknown or lacks its texts, or templates that are damaged
    ├── ModelError        a recommender folder that is missing parts or of another family
    ├── CalibrationChoiceError  how many training sequences calibrate, and which
    ├── FineTuningError   a recipe, a base or a checkpoint that cannot be fine-tuned with, a loss that is not finite
    └── SearchError       search options that contradict each other or the catalogue

A message names what was found and where (file, line or key), what was expected, and what to do.
"""

from odllm_artifact import OdllmError


class LcrecError(OdllmError):
    """Something about the recommender that the user can put right."""


class DatasetError(LcrecError):
    """Interaction data or a dataset folder is missing, damaged, or does not hold what was asked for."""


class ItemCodesError(LcrecError):
    """Item codes are missing, damaged, or do not fit the items."""


class QuantizerError(LcrecError):
    """A quantizer is missing, damaged or of another encoder or depth, or its training cannot go on."""


class CatalogError(LcrecError):
    """A catalogue is damaged, or does not fit the items or the model."""


class PromptError(LcrecError):
    """A history or a prompt layout cannot be turned into token ids."""


class TaskError(LcrecError):
    """A task is unknown, the dataset lacks what it is made of, or its templates are damaged."""


class ModelError(LcrecError):
    """A recommender folder is missing parts, or holds a model of another family."""


class CalibrationChoiceError(LcrecError):
    """Options of the choice of calibration sequences contradict each other, or there is nothing to choose from."""


class SearchError(LcrecError):
    """Search options contradict each other or ask for more than the catalogue holds."""


class FineTuningError(LcrecError):
    """A recipe, a base model or a checkpoint does not fit a fine-tuning, or its loss is not finite."""
