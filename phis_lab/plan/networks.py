"""Teachers and students as shapes alone: built without values, and without any file that only holds values."""

import inspect
import pkgutil
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar, get_args, get_type_hints

import torch
from torch import Tensor, nn

from phis_lab.config.build import build
from phis_lab.features import Features
from phis_lab.plan.counting import PassCost, cost_of
from phis_lab.plan.onnx_graph import graph_cost
from phis_lab.seeds import fixed_seed
from phis_lab.students import Student
from phis_lab.teachers import Teacher
from phis_lab.teachers.onnx import OnnxGraph
from phis_lab.teachers.outline import WITHOUT_VALUES

Result = TypeVar("Result")

VALUELESS = {"pretrained": False, "weights": None, "spectral": False}
"""Arguments that say where values come from, and what says that there are none. Spectral reparametrisation, which reads
them, adds a number for each matrix and no operation that grows with the images; it is left out."""


@dataclass(frozen=True)
class TeacherCost:
    """One teacher at one image size.

    Args:
        name: in the set.
        image_size: of the square that it sees.
        parameters: how many it has.
        bytes: of its parameters and buffers.
        channels: of its summary and its spatial features; None for a kind that it lacks.
        grid: rows and columns of its spatial features; None where it has none.
        padded_cell: pixels of one of these, where smaller images are put on its canvas and the rest is cropped off.
        number: the precision that it asks for: "float32" where it knows no other or loses too much in bfloat16.
        on_cpu: whether it computes there, wherever the run does.
        forward: what one image takes.
    """

    name: str
    image_size: int
    parameters: int
    bytes: int
    channels: tuple[int | None, int | None]
    grid: tuple[int, int] | None
    padded_cell: int | None
    number: str
    on_cpu: bool
    forward: PassCost


def without_values(node: Mapping[str, Any], path: str, use: Callable[[Any], Result]) -> Result:
    """Builds a part on the meta device, from its architecture, and uses it; on the CPU where that cannot be done.

    Args:
        node: with a `_target_`.
        path: dotted name of the node, for messages.
        use: what is wanted of it.

    Raises:
        ValueError: its constructor refused an option, or needs a file that is not there.
    """
    bare = {**node, **_valueless(node)}
    try:
        with WITHOUT_VALUES, fixed_seed(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "for .*: copying from a non-meta parameter")
            built = build(bare, path)
        return use(built)
    except Exception:  # some parts read values, in ways of their own
        return use(build(bare, path))


def _valueless(node: Mapping[str, Any]) -> dict[str, Any]:
    """What a constructor is told so that it loads nothing."""
    target = pkgutil.resolve_name(str(node["_target_"]))
    hints = get_type_hints(target.__init__ if inspect.isclass(target) else target)
    return {
        name: value
        for name, value in VALUELESS.items()
        if name in hints and type(value) in (hints[name], *get_args(hints[name]))
    }


def teacher_cost(name: str, node: Mapping[str, Any]) -> TeacherCost:
    """Builds a teacher and lets one image through.

    Raises:
        ValueError: as `without_values`.
    """
    return without_values(node, f"teachers.{name}", partial(_cost, name))


def _cost(name: str, teacher: Teacher) -> TeacherCost:
    images = _blank(teacher, teacher.image_size)
    seen: list[Features] = []
    cost = cost_of(teacher, lambda: seen.append(teacher.features(images)), [images])
    graphs = [module for module in teacher.modules() if isinstance(module, OnnxGraph)]
    parameters, size = _size(teacher)
    for graph in graphs:
        held, flops = graph_cost(graph, teacher.image_size)
        parameters, size = parameters + held, size + 4 * held
        cost = replace(cost, flops=cost.flops + flops)
    spatial = seen[0].spatial
    return TeacherCost(
        name=name,
        image_size=teacher.image_size,
        parameters=parameters,
        bytes=size,
        channels=(teacher.summary_dim, teacher.spatial_dim),
        grid=None if spatial is None else (spatial.shape[1], spatial.shape[2]),
        padded_cell=teacher.pixels.padded_cell,
        number="float32" if teacher.computes_in or not teacher.bfloat16_is_faithful else "auto",
        on_cpu=bool(graphs),
        forward=cost,
    )


def _size(module: nn.Module) -> tuple[int, int]:
    """Parameters, and bytes with those of buffers."""
    tensors: list[Tensor] = [*module.parameters(), *module.buffers()]
    return sum(p.numel() for p in module.parameters()), sum(t.nbytes for t in tensors)


def _blank(module: nn.Module, side: int) -> Tensor:
    tensors = [*module.parameters(), *module.buffers()]
    return torch.zeros(1, 3, side, side, device=tensors[0].device if tensors else "cpu")


class StudentCosts:
    """One student, of which passes are counted.

    Args:
        student: with its heads, built without values.
        state_bytes: of the state that its optimiser keeps.
        space_bytes: of the normalisers' maps.
        state_is_known: whether that state was found, and not assumed.
    """

    def __init__(self, student: Student, state_bytes: int, space_bytes: int, state_is_known: bool = True) -> None:
        self.state_bytes, self.space_bytes, self.state_is_known = state_bytes, space_bytes, state_is_known
        self.parameters, self.bytes = _size(student)
        self.heads = sum(p.numel() for p in student.parameters()) - sum(
            p.numel() for p in student.backbone.parameters()
        )
        self.trained_bytes = sum(p.nbytes for p in student.parameters() if p.requires_grad)
        self.depth = len(student.backbone.vit.blocks)
        self._student = student.eval()

    def image_size(self, scale: float) -> int:
        """Side of the images that it sees."""
        return self._student.backbone.image_size_at(scale)

    def grid(self, scale: float) -> tuple[int, int]:
        """Of its tokens."""
        return self._student.backbone.grid_at(scale)

    def forward(self, scale: float, teachers: Collection[str]) -> PassCost:
        """What one image takes, through the backbone and the heads of those teachers."""
        side = self.image_size(scale)
        images = _blank(self._student, side)
        return cost_of(self._student, partial(self._student, images, side, teachers), [images])
