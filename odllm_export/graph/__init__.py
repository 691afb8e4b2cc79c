"""The recommender as one ONNX graph, built node by node from the model's named tensors."""
