"""Model and catalogue in, ONNX bundle out: item history to top-k items in one call."""
