"""Changes to a model that its random initialisation does not make: factored projections, biases that are not zero."""

import torch

from compression.lowrank import GROUPS, LowRankLinear, projection_names, replace_linear


def factor(keep_every=1, shared=False):
    """Replace projections by random factors.

    `keep_every` 2 leaves every other one dense; `shared` gives those that read one input the same input factor.
    """

    def change(model):
        torch.manual_seed(3)
        for number, name in enumerate(projection_names(model)):
            if number % keep_every:
                continue
            dense = model.get_submodule(name)
            rank = 4 if shared else 3 + number % 5
            layer = LowRankLinear(dense.in_features, dense.out_features, rank, bias=dense.bias is not None)
            for parameter in layer.parameters():
                torch.nn.init.normal_(parameter, std=0.4)
            replace_linear(model, name, layer)
        if shared:
            for block in model.model.layers:
                for group in GROUPS:
                    first, *others = (block.get_submodule(name) for name in group.projections)
                    for other in others:
                        other.share_input(first)

    return change


def randomise_biases(model):
    """Give every bias random values: transformers begins with zeros, which hide a bias that a graph leaves out."""
    torch.manual_seed(4)
    for name, parameter in model.named_parameters():
        if name.endswith(".bias"):
            torch.nn.init.normal_(parameter, std=0.4)
