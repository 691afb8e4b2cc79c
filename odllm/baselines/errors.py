"""The error of the baselines: an environment that is missing, or a model that a method does not take."""

from odllm_artifact import OdllmError


class BaselineError(OdllmError):
    """A baseline cannot be run: the message says what it needs."""
