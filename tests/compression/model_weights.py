"""What a test compares of two models."""


def weights(model):
    """Copies of all tensors of a model by name."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}
