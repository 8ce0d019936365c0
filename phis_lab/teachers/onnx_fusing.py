"""Moves what follows a convolution of a translated ONNX graph into the convolution."""

import torch
from torch import fx, nn
from torch.nn import functional

from phis_lab.teachers.convolution import FrozenConv

ACTIVATIONS = {torch.relu: nn.ReLU(), functional.hardswish: nn.Hardswish()}


def fuse(module: fx.GraphModule) -> fx.GraphModule:
    """Fuses in place: hardswish, then numbers, batch normalisation and activations into `FrozenConv`.

    x * clip(x + 3, 0, 6) / 6 becomes `hardswish` first. A value that has other readers stays.
    """
    fx.replace_pattern(
        module,
        lambda x: torch.div(torch.mul(x, torch.clamp(torch.add(x, 3.0), 0.0, 6.0)), 6.0),
        lambda x: functional.hardswish(x, inplace=False),
    )
    for node in list(module.graph.nodes):
        conv = module.get_submodule(node.target) if node.op == "call_module" else None
        while isinstance(conv, FrozenConv) and len(node.users) == 1:
            (follower,) = node.users
            if not _absorb(module, conv, follower):
                break
            follower.replace_all_uses_with(node)
            module.graph.erase_node(follower)
    module.delete_all_unused_submodules()
    module.recompile()
    return module


def _absorb(module: fx.GraphModule, conv: FrozenConv, follower: fx.Node) -> bool:
    if follower.op == "call_module":
        return conv.absorb(module.get_submodule(str(follower.target)))
    if follower.target in ACTIVATIONS:
        return conv.absorb(ACTIVATIONS[follower.target])
    numbers = [argument for argument in follower.args if isinstance(argument, float)]
    if len(numbers) != 1 or follower.target not in {torch.mul, torch.add}:
        return False
    return conv.multiply(numbers[0]) if follower.target is torch.mul else conv.add(numbers[0])
