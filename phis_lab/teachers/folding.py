"""Freezes a network's convolutions together with what follows them."""

from torch import nn

from phis_lab.teachers.convolution import FrozenConv


def freeze_convolutions(network: nn.Module) -> nn.Module:
    """Replaces, in place, every convolution and the batch normalisation and activation after it by one step.

    In evaluation mode this is the same function to rounding, at about half the cost for networks of depthwise
    convolutions, whose time goes into reading and writing maps. "After" means registered next in the same module,
    which holds for the pocket networks.
    """
    latest: FrozenConv | None = None
    for name, child in list(network.named_children()):
        if isinstance(child, nn.Conv2d):
            latest = FrozenConv(child)
            network.add_module(name, latest)
        elif latest is not None and latest.absorb(child):
            network.add_module(name, nn.Identity())
        else:
            latest = None
            freeze_convolutions(child)
    return network
