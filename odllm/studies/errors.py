"""What can be wrong with a study.

OdllmError
└── StudyError   a study was asked for that cannot be made, or its folder is in the way or damaged
"""

from odllm_artifact import OdllmError


class StudyError(OdllmError):
    """A study was asked for that cannot be made, or its folder is in the way or damaged."""
