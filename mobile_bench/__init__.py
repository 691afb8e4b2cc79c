"""Bundle in, measurements out: latency, memory and what each execution provider really ran."""

import odllm_artifact.privacy  # noqa: F401 (before anything imports onnxruntime)
