"""Errors of export, bundles and verification.

OdllmError
└── ExportError                 exit code 2
    ├── UnsupportedModelError   a model, or a feature of one, that the graph does not cover
    ├── TensorError             a tensor is missing, left over, of another shape, or not finite
    ├── BundleError             a bundle is damaged, moved apart, too new, or too large for this machine
    ├── HistoryError            a history that cannot be asked about: empty, or with unknown items
    ├── CatalogEditError        a change of a bundle's catalogue that cannot be made
    └── VerificationError       exit code 3: the bundle's lists differ from the model's
"""

from odllm_artifact import OdllmError


class ExportError(OdllmError):
    """Root of this package's errors."""


class UnsupportedModelError(ExportError):
    """The model, or a feature of it, is not covered by the graph."""


class TensorError(ExportError):
    """A tensor is missing, left over, of another shape, or not finite."""


class BundleError(ExportError):
    """A bundle is damaged, incomplete, from a newer version, or larger than the memory that is there."""


class HistoryError(ExportError):
    """The history is empty or holds items that the bundle does not know."""


class CatalogEditError(ExportError):
    """A change of a bundle's catalogue cannot be made: an item is there already, or none would be left."""


class VerificationError(ExportError):
    """The bundle's ranked lists differ from the model's."""

    exit_code = 3
