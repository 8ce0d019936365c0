"""What reads the nodes of a configuration: a field for each node of a run, and the classes with their options."""

import difflib
import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from omegaconf import DictConfig
from torch import nn

from phis_lab.bounds import NonNegative, Positive, Seed, Supplied
from phis_lab.config.teachers import TeacherOptions
from phis_lab.data import Augmentation, DataSource, PartitionPlan, StagePlan
from phis_lab.data.masks import MaskedData
from phis_lab.engine import Estimation, Evaluation, OptimizerRecipe, TrainerOptions
from phis_lab.losses import Balancer, Loss
from phis_lab.normalizers import FeatureMap
from phis_lab.runs.loggers import Logger
from phis_lab.strategies import DataParallel, Single
from phis_lab.students import Backbone, HeadFactory
from phis_lab.teachers import Teacher


@dataclass(frozen=True, kw_only=True)
class Online:
    """Numbers of `estimation=online`, which scales set.

    Args:
        steps: for which statistics are gathered, and then frozen.
        refresh_every: steps after which the normalisers are fitted anew meanwhile.
        warmup_steps: first steps, in which statistics are gathered and nobody trains.
    """

    steps: Positive
    refresh_every: Positive
    warmup_steps: NonNegative


@dataclass(frozen=True, kw_only=True)
class Paths:
    """Where runs are written.

    Args:
        outputs: folder that holds a folder for each study.
    """

    outputs: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """The nodes of a configuration; `segmentation` and `transfer` come with the tasks that read them."""

    teachers: Annotated[Mapping[str, Teacher], TeacherOptions]
    student: Backbone
    head: Annotated[HeadFactory, Supplied("in_dim", "out_dim", "widest", "depth")]
    normalizer: Annotated[Callable[..., FeatureMap], Supplied("dim", "out_dim")]
    loss: Loss
    balancer: Balancer
    estimation: Estimation
    data: DataSource
    augmentation: Augmentation
    optimizer: OptimizerRecipe
    trainer: TrainerOptions
    evaluation: Evaluation
    strategy: Single | DataParallel
    logger: Mapping[str, Annotated[Callable[..., Logger], Supplied("folder")]]
    paths: Paths
    stages: Mapping[str, StagePlan] | None
    seed: Seed
    label: str | None
    online: Online
    segmentation: MaskedData
    transfer: Mapping[str, DataSource]


PLAIN = (Run, Online, Paths, StagePlan, PartitionPlan)
"""Read as mappings of their fields; every other class is a part that names itself by `_target_`."""


def refuse_targets(config: Mapping[str, Any]) -> None:
    """Refuse classes that cannot be imported.

    Args:
        config: resolved configuration as plain dicts and lists.

    Raises:
        ValueError: naming each by its dotted path, with the nearest name where there is one.
    """
    if problems := list(_problems(config, ())):
        raise ValueError("The configuration was refused:\n  " + "\n  ".join(problems))


def is_own_code_missing(config: Mapping[str, Any]) -> bool:
    """Whether a class of another package than this one cannot be imported."""
    return any("._target_='phis_lab." not in problem for problem in _problems(config, ()))


def _problems(node: Any, path: tuple[str, ...]) -> Iterator[str]:
    children = enumerate(node) if isinstance(node, list) else node.items() if isinstance(node, Mapping) else ()
    if isinstance(node, Mapping) and "_target_" in node:
        name = ".".join(path)
        try:
            located(node["_target_"])
        except ValueError as error:
            yield f"{name}._target_={node['_target_']!r} cannot be imported: {error}"
    for key, child in children:
        yield from _problems(child, (*path, str(key)))


def located(target: object) -> Any:
    """What a dotted name stands for.

    Raises:
        ValueError: it names nothing, or its module cannot be imported; the message says which part is wrong.
    """
    if not isinstance(target, str) or not all(part.isidentifier() for part in target.split(".")) or "." not in target:
        raise ValueError("a class is named as package.module.Class")
    parts = target.split(".")
    found: Any = None
    for count in range(1, len(parts) + 1):
        name = ".".join(parts[:count])
        if hasattr(found, parts[count - 1]):
            found = getattr(found, parts[count - 1])
            continue
        try:
            found = import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise ValueError(f"{name} needs the module {error.name}, which is not installed") from error
            raise ValueError(_nothing(found, parts, count)) from error
        except Exception as error:
            raise ValueError(f"importing {name} fails: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise ValueError(f"this is a {type(found).__name__}, and a class or a function is wanted")
    return found


def _nothing(found: Any, parts: list[str], count: int) -> str:
    """What to say where a module or a class holds nothing of a name."""
    if found is None:
        return f"there is no package {parts[0]} here; install it, or put its folder on PYTHONPATH"
    parent, name = ".".join(parts[: count - 1]), parts[count - 1]
    near = difflib.get_close_matches(name, [each for each in dir(found) if not each.startswith("_")], n=1)
    low = [each for each in dir(found) if each.lower() == name.lower()]
    guess = f"; did you mean {parent}.{(low or near)[0]}?" if low or near else ""
    return f"{parent} holds no {name}{guess}"


def options_of(config: DictConfig, path: str) -> dict[str, Any]:
    """The options of what reads a node, and what they are by default.

    Args:
        config: composed.
        path: dotted name of the node.

    Returns:
        The default by the option's name, `inspect.Parameter.empty` where there is none. Nothing where a node names no
        class, or one that cannot be imported, which is refused elsewhere; what the run itself sets is left out.
    """
    try:
        reader, supplied = read_by(config, path.split("."))
        parameters = {} if reader is None else inspect.signature(reader).parameters
    except Exception:  # whatever the user's module raises
        return {}
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    named = {name: parameter for name, parameter in parameters.items() if parameter.kind in by_name}
    return {name: parameter.default for name, parameter in named.items() if name not in supplied}


def read_by(config: DictConfig, words: Sequence[str]) -> tuple[Callable[..., Any] | None, tuple[str, ...]]:
    """What reads a node, and which of its arguments the run itself sets.

    Args:
        config: that holds the node.
        words: of the node's dotted name.

    Returns:
        The class that the node names, or the plain one as which it is read, or None where it is a mere mapping.

    Raises:
        ValueError: the class cannot be imported.
    """
    node: Any = config
    hint: Any = Run
    notes: list[Any] = []
    for word in words:
        reader, arguments = _reader(node, hint), get_args(hint)
        below = hints_of(reader).get(word, Any) if reader is not None else arguments[-1] if arguments else Any
        node = node._get_node(word)
        hint, notes = bare(below, node)
    supplied = next((note.arguments for note in notes if isinstance(note, Supplied)), ())
    return _reader(node, hint), supplied


def _reader(node: Any, hint: Any) -> Callable[..., Any] | None:
    """The class that a node names, or the plain one as which it is read."""
    if isinstance(node, DictConfig) and "_target_" in node:
        found: Callable[..., Any] = located(node._target_)
        return found
    return hint if hint in PLAIN else None


def parameters_of(target: Callable[..., Any]) -> list[str] | None:
    """Names that a constructor takes; None where it takes any."""
    if inspect.isclass(target) and target.__init__ is nn.Module.__init__:  # takes none, whatever it declares
        return []
    parameters = inspect.signature(target).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return None
    return list(parameters)


def hints_of(target: Callable[..., Any]) -> dict[str, Any]:
    """The types of what a constructor takes, with what is annotated to them."""
    if inspect.isclass(target) and target in PLAIN:
        known = get_type_hints(target, include_extras=True)
        return {field.name: known[field.name] for field in fields(target)}
    return get_type_hints(target.__init__ if inspect.isclass(target) else target, include_extras=True)


def bare(hint: Any, value: Any) -> tuple[Any, list[Any]]:
    """A type without what is annotated to it, and without None where there is a value; and the annotations."""
    notes: list[Any] = []
    while True:
        if get_origin(hint) is Annotated:
            hint, *found = get_args(hint)
            notes += found
        elif is_union(hint) and value is not None and type(None) in get_args(hint):
            rest = [kind for kind in get_args(hint) if kind is not type(None)]
            hint = rest[0] if len(rest) == 1 else Union[tuple(rest)]  # noqa: UP007  of a list
        else:
            return hint, notes


def is_union(hint: Any) -> bool:
    """Whether a type is one of several."""
    return get_origin(hint) in (Union, types.UnionType)
