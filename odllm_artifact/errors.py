"""The root of every error tree.

    OdllmError                  exit code 2: the user changes an input or an option
    ├── ArtifactError           a folder or file of the pipeline is missing, damaged or in the way
    ├── lcrec.errors.…          data, codes, prompts, recommenders
    ├── compression.errors.…    ranks, statistics, checkpoints
    ├── odllm_export.errors.…   graphs, bundles, verification (exit code 3)
    └── mobile_bench.errors.…   measurements, devices (exit code 4)

A message says what was found, what was expected, and what to do. Anything that is not an
`OdllmError` is a defect of ours and ends the program with exit code 1 and a traceback.
"""


class OdllmError(Exception):
    """Something the user can put right.

    Attributes:
        exit_code: what the `odllm` program ends with: 2 usage or bad input, 3 verification failed, 4 device.
    """

    exit_code: int = 2


class ArtifactError(OdllmError):
    """A folder or file of the pipeline is missing, damaged or in the way."""
