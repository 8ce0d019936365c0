"""Finds in a checkpoint the one network that fits, whatever it is wrapped in, and refuses what does not fit."""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from phis_lab.teachers.outline import Outline
from phis_lab.teachers.weight_files import read_checkpoint

log = logging.getLogger(__name__)

State = dict[str, Tensor]
Convert = Callable[[State, Any], Mapping[str, Tensor]]
"""Brings a checkpoint into the network's own layout: other authors' names, position embeddings of another size."""

SMALLEST_SHARE = 4  # a part of a file with fewer tensors than needed / 4 is not tried
EXAMPLES = 3


@dataclass(frozen=True)
class Fit:
    """One network of a file.

    Args:
        file: that holds it.
        key: where in the file it lies: the keys to its dictionary and the prefix of its names, joined by dots.
        prefix: what its names begin with.
        raw: the dictionary that it lies in.
        state: its tensors under the network's names.
        gap: what is wrong with it; empty if it fits.
        gaps: number of tensors that are wrong.
        unused: names in the same dictionary that the features do not need.
        resampled: names whose grid was resampled.
        others: keys of the file beside it under which as many tensors lie.
    """

    file: Path
    key: str
    prefix: str
    raw: State
    state: State
    gap: str
    gaps: int
    unused: tuple[str, ...]
    resampled: tuple[str, ...]
    others: tuple[str, ...] = ()

    def load(self, network: nn.Module) -> None:
        """Copies the tensors into the network, and says what was taken and what was not."""
        if self.key:
            taken_off = f"; {self.prefix!r} is taken off its names" if self.prefix else ""
            log.info("%s: the network is %r%s", self.file, self.key, taken_off)
        if self.resampled:
            log.info("%s: resampled to the image size: %s", self.file, _listed(self.resampled))
        if self.unused:
            log.info("%s: %d tensors are of no use here: %s", self.file, len(self.unused), _listed(self.unused))
        if self.others:
            log.info("%s: it also holds %s, of no use here", self.file, _listed(self.others))
        network.load_state_dict(self.state, strict=False)

    def beside(self, name: str) -> Tensor | None:
        """Returns a tensor that lies next to the network or further out, such as CLIP's `logit_scale`."""
        parts = self.prefix.split(".")[:-1]
        names = (".".join([*parts[:count], name]) for count in range(len(parts), -1, -1))
        return next((self.raw[found] for found in names if found in self.raw), None)


def fit(file: Path, what: str, network: nn.Module, needs: Outline, convert: Convert, key: str | None = None) -> Fit:
    """Finds the network of a file from which every tensor that the features depend on comes.

    Args:
        file: safetensors or PyTorch's.
        what: names the network in messages.
        network: built, with or without values.
        needs: what its features depend on.
        convert: from the file's layout to the network's.
        key: which of several networks; None where one fits.

    Raises:
        ValueError: the file cannot be read, no network in it fits, or several do and `key` names none of them.
    """
    content = read_checkpoint(file)
    tried = [
        candidate
        for path, raw in _dictionaries(content)
        for candidate in _candidates(file, path, raw, network, needs, convert)
    ]
    asked = [one for one in tried if key is None or one.key == key or one.key.startswith(f"{key}.")]
    if key is not None and not asked:
        known = [one.key or "the top" for one in sorted(tried, key=lambda one: one.gaps)]
        raise ValueError(f"{file} has no network weights_key={key}; it has {_listed(known)}")
    fitting = [one for one in asked if not one.gap]
    if len(fitting) > 1:
        names = [one.key or "the top" for one in fitting]
        raise ValueError(
            f"{file} holds {len(fitting)} networks that fit, {_listed(names)}: say which with weights_key, such as "
            f"weights_key={fitting[-1].key or fitting[0].key}"
        )
    if not fitting:
        best = min(asked, key=lambda one: one.gaps, default=None)
        gap = best.gap if best else f"none of the {len(needs.tensors)} tensors that its features depend on is there"
        raise ValueError(f"{file} does not hold {what}: {gap}")
    return replace(fitting[0], others=tuple(_others(content, fitting[0], len(needs.tensors))))


def _others(content: Mapping[Any, Any], found: Fit, count: int) -> Iterator[str]:
    """Keys at the top under which enough tensors lie for another network: an optimiser's state, an unnamed average."""
    for name, value in content.items():
        beside = not isinstance(value, Tensor) and name != found.key.split(".")[0]
        if beside and _count(value) * SMALLEST_SHARE >= count:
            yield str(name)


def _count(value: Any) -> int:
    if isinstance(value, Mapping):
        return sum(_count(one) for one in value.values())
    if isinstance(value, list | tuple):
        return sum(_count(one) for one in value)
    return int(isinstance(value, Tensor))


def _dictionaries(content: Mapping[Any, Any], path: str = "") -> Iterator[tuple[str, State]]:
    """The dictionaries of a checkpoint that hold tensors by name, with the keys that lead to each."""
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if tensors:
        yield path, tensors
    for name, value in content.items():
        if isinstance(value, Mapping):
            yield from _dictionaries(value, f"{path}.{name}" if path else str(name))


def _candidates(
    file: Path, path: str, raw: State, network: nn.Module, needs: Outline, convert: Convert
) -> Iterator[Fit]:
    """What may be a network: all names, or those under one prefix, the longest first.

    Names under a prefix that fits are left out of shorter ones, so that a second network is found beside the first.
    """
    rest = dict(raw)
    counts = Counter(prefix for name in raw for prefix in accumulate(part + "." for part in name.split(".")[:-1]))
    large = [prefix for prefix, count in counts.items() if count * SMALLEST_SHARE >= len(needs.tensors)]
    for prefix in [*sorted(large, key=len, reverse=True), ""]:
        part = {name.removeprefix(prefix): value for name, value in rest.items() if name.startswith(prefix)}
        if not part:
            continue
        found = _compare(file, path, prefix, raw, part, network, needs, convert)
        yield found
        if not found.gap:
            rest = {name: value for name, value in rest.items() if not name.startswith(prefix)}


def _compare(
    file: Path, path: str, prefix: str, raw: State, part: State, network: nn.Module, needs: Outline, convert: Convert
) -> Fit:
    try:
        state = dict(convert(dict(part), network))
    except Exception:  # the conversion of a layout that is not the expected one fails in its own ways
        state = dict(part)
    target = network.state_dict()
    missing = sorted(needs.tensors - state.keys())
    shapes = [name for name in sorted(needs.tensors & state.keys()) if state[name].shape != target[name].shape]
    shapes += [name for name in _resampled_kernels(part, state, network) if name not in shapes]
    computed = {name for name, _ in network.named_buffers()}  # some are not stored, and some files have them
    others = [n for n in sorted(state.keys() - target.keys() - computed) if state[n].is_floating_point()]
    modules = dict(network.named_modules())
    unexpected = [name for name in others if _matters(name, network, modules.keys(), needs)]
    outside = [name for name in raw if not name.startswith(prefix)]
    reasons = [
        f"{len(missing)} of the {len(needs.tensors)} tensors that its features depend on are missing "
        f"({_listed(missing)})"
        if missing
        else "",
        f"{len(shapes)} have another shape ({_shapes(shapes, part, state, target)})" if shapes else "",
        f"{len(unexpected)} are unexpected ({_listed(unexpected)})" if unexpected else "",
    ]
    return Fit(
        file=file,
        key=".".join(word for word in (path, prefix.removesuffix(".")) if word),
        prefix=prefix,
        raw=raw,
        state={name: value for name, value in state.items() if name in target and value.shape == target[name].shape},
        gap=", ".join(filter(None, reasons)),
        gaps=len(missing) + len(shapes) + len(unexpected),
        unused=(*(n for n in sorted(state) if n not in needs.tensors and state[n].is_floating_point()), *outside),
        resampled=tuple(n for n in sorted(state) if n in part and part[n].numel() != state[n].numel()),
    )


def _resampled_kernels(part: State, state: State, network: nn.Module) -> list[str]:
    """Kernels of convolutions that a conversion has resampled: a patch of another size is another network."""
    sizes = {value.numel() for value in part.values()}
    modules = dict(network.named_modules())
    return [
        name
        for name, value in state.items()
        if isinstance(modules.get(name.removesuffix(".weight")), nn.Conv2d) and value.numel() not in sizes
    ]


def _matters(name: str, network: nn.Module, modules: Collection[str], needs: Outline) -> bool:
    """Whether a tensor that the network lacks belongs to a part that its features go through.

    Such a part is a module that the image went through, or a place at the top that this network leaves empty: a
    network with more blocks, with layer scale or with registers gives other features than the one that was built.
    """
    parts = name.split(".")
    paths = [".".join(parts[:count]) for count in range(len(parts) - 1, 0, -1)]
    deepest = next((path for path in paths if path in modules), None)
    return hasattr(network, parts[0]) if deepest is None else deepest in needs.modules


def _shapes(names: list[str], part: State, state: State, target: Mapping[str, Tensor]) -> str:
    told = [f"{n}: {list(part.get(n, state[n]).shape)} for {list(target[n].shape)}" for n in names[:EXAMPLES]]
    return ", ".join(told) + (", ..." if len(names) > EXAMPLES else "")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:EXAMPLES]) + (", ..." if len(names) > EXAMPLES else "")
