"""Model and catalogue in, ONNX bundle out: item history to top-k items in one call."""

import odllm_artifact.privacy  # noqa: F401 (before anything imports onnxruntime)
