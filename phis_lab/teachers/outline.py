"""What a network's features look like and depend on, found without the value of any parameter."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from phis_lab.features import Features
from phis_lab.seeds import fixed_seed
from phis_lab.shapes import Float

WITHOUT_VALUES = torch.device("meta")
"""Where a network has shapes and no values: building and running it takes no memory."""


class NoSuchFeaturesError(ValueError):
    """A network lacks what is asked for, whatever the size of its images."""


@dataclass(frozen=True)
class Outline:
    """What one run on a blank image shows.

    Args:
        tensors: names of the parameters and buffers that the features depend on.
        modules: names of the modules that the image went through, and of those around them.
        summary_dim: width of the summary, None where there is none.
        spatial_dim: channels of the spatial features, None where there are none.
        grid: rows and columns of the spatial features.
    """

    tensors: frozenset[str]
    modules: frozenset[str]
    summary_dim: int | None
    spatial_dim: int | None
    grid: tuple[int, int] | None


def outline(build: Callable[[], nn.Module], read: Callable[[nn.Module, Tensor], Features], image_size: int) -> Outline:
    """Builds a network without values, runs it on a blank image and follows the features back to the parameters.

    A float buffer (the statistics of a batch normalisation) counts if its module was run, and a parameter if autograd
    leads to it, so a head that the features do not pass through never counts, whatever its name.

    Args:
        build: makes the network.
        read: its features of normalised images.
        image_size: side in pixels.

    Raises:
        ValueError: the network does not give such features of such images.
    """
    called: set[str] = set()
    try:
        with WITHOUT_VALUES, torch.enable_grad(), fixed_seed():
            network = build().eval().requires_grad_()
            for name, module in network.named_modules():
                module.register_forward_pre_hook(lambda *_, name=name: called.add(name))
            features = read(network, torch.empty(1, 3, image_size, image_size))
    except (ValueError, ModuleNotFoundError):
        raise
    except Exception as error:  # the networks of other libraries refuse images in their own ways
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"it gives no such features of images of {image_size} px ({reason})") from error
    summary, spatial = features
    _check_shapes(summary, spatial)
    reached = {id(parameter) for parameter in _parameters([t for t in features if t is not None])}
    names = {name for name, parameter in network.named_parameters(remove_duplicate=False) if id(parameter) in reached}
    names.update(_statistics(network, called))
    return Outline(
        tensors=frozenset(names),
        modules=frozenset(called | {part for name in names for part in _owners(name)}),
        summary_dim=None if summary is None else summary.shape[1],
        spatial_dim=None if spatial is None else spatial.shape[3],
        grid=None if spatial is None else (spatial.shape[1], spatial.shape[2]),
    )


def whole(network: nn.Module) -> Outline:
    """Returns the outline of a network that gives its features by all of its tensors."""
    tensors = frozenset(name for name, value in network.state_dict().items() if value.is_floating_point())
    return Outline(tensors, frozenset(name for name, _ in network.named_modules()), None, None, None)


def _check_shapes(summary: Tensor | None, spatial: Tensor | None) -> None:
    if summary is not None and summary.ndim != 2:
        raise NoSuchFeaturesError(f"its summary has the shape {list(summary.shape)} and is no vector; use summary=null")
    if spatial is not None and spatial.ndim != 4:
        raise NoSuchFeaturesError(f"its spatial features have the shape {list(spatial.shape)} and are no map")


def _statistics(network: nn.Module, called: set[str]) -> Iterator[str]:
    stored = network.state_dict().keys()
    for name, buffer in network.named_buffers(remove_duplicate=False):
        if name in stored and buffer.is_floating_point() and name.rpartition(".")[0] in called:
            yield name


def _owners(name: str) -> Iterator[str]:
    """The modules that a tensor lies in: some are lists, whose members are called one by one."""
    parts = name.split(".")
    return (".".join(parts[:count]) for count in range(1, len(parts)))


def _parameters(tensors: list[Float[Tensor, "..."]]) -> Iterator[Tensor]:
    """The leaves of autograd's graph."""
    waiting = [tensor.grad_fn for tensor in tensors]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        waiting.extend(following for following, _ in node.next_functions)
