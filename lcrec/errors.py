"""The error tree of the recommender, by what the user must change.

OdllmError
└── LcrecError
    ├── DatasetError      interaction data, a dataset folder, an item id that is not in it
    ├── ItemCodesError    item codes that are missing, damaged, or do not fit the items
    ├── CatalogError      a catalogue that is damaged or does not fit the model
    ├── PromptError       a history or prompt layout that the model cannot take
    ├── ModelError        a recommender folder that is missing parts or of another family
    ├── CalibrationChoiceError  how many training sequences calibrate, and which
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


class CatalogError(LcrecError):
    """A catalogue is damaged, or does not fit the items or the model."""


class PromptError(LcrecError):
    """A history or a prompt layout cannot be turned into token ids."""


class ModelError(LcrecError):
    """A recommender folder is missing parts, or holds a model of another family."""


class CalibrationChoiceError(LcrecError):
    """Options of the choice of calibration sequences contradict each other, or there is nothing to choose from."""


class SearchError(LcrecError):
    """Search options contradict each other or ask for more than the catalogue holds."""
