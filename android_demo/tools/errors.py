"""Errors of the build without an SDK.

OdllmError
└── AndroidBuildError       exit code 2: a source, a machine or a network that the build cannot work with
    ├── FetchError          a package cannot be had, or is not the one that was tested
    └── ToolError           a compiler or tool refused its input; its own words were shown
"""

from odllm_artifact import OdllmError


class AndroidBuildError(OdllmError):
    """Root of this package's errors: something that the build needs is missing or contradictory."""


class FetchError(AndroidBuildError):
    """A package cannot be downloaded, or is not the one that was tested."""


class ToolError(AndroidBuildError):
    """A compiler or tool refused its input."""
