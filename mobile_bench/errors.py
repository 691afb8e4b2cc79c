"""Errors of measuring.

OdllmError
└── BenchError               exit code 2: an option or an input of the benchmark
    ├── RecordError          a record file is damaged, or of a newer schema
    ├── ComparisonError      records that cannot be compared
    └── DeviceError          exit code 4: the device, or a process on it
        ├── WorkerError      a measuring process died, hung, or answered nonsense
        └── PlacementError   an execution provider took no node: nothing was measured on it
"""

from odllm_artifact import OdllmError


class BenchError(OdllmError):
    """Root of this package's errors: an option or an input of the benchmark."""


class RecordError(BenchError):
    """A record file is damaged, or of a newer schema."""


class ComparisonError(BenchError):
    """The records were not measured side by side, so that no ratio of them means anything."""


class DeviceError(BenchError):
    """The device, or a process on it, could not do the measurement."""

    exit_code = 4


class WorkerError(DeviceError):
    """A measuring process died, ran past its time, or answered nonsense."""


class PlacementError(DeviceError):
    """The execution provider that was asked for took no node of the graph."""
