"""What a run computes, whatever computes it: from a configuration to images, operations and bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from phis_lab.config.build import build, build_spaces, target_dims
from phis_lab.config.stage_options import read_stages
from phis_lab.config.teachers import TeacherOptions, nodes_for, split
from phis_lab.data import PartitionPlan, StagePlan
from phis_lab.data.stage_plans import boundaries
from phis_lab.engine import OptimizerRecipe, TrainerOptions
from phis_lab.features import Grid
from phis_lab.plan.counting import PassCost
from phis_lab.plan.networks import StudentCosts, TeacherCost, teacher_cost, without_values
from phis_lab.seeds import fixed_seed
from phis_lab.students import Backbone, Student

STATES = 2
"""Copies of the weights that an optimiser is assumed to keep where that cannot be found: as many as AdamW."""


@dataclass(frozen=True)
class PartitionWork:
    """Images that a step shows at one size.

    Args:
        name: of the partition.
        images: of a step, over all ranks.
        image_size: at which the student sees them.
        teachers: who sees them, at their image sizes.
        student: what one image takes, forward.
        reads: share of the steps in which the teachers run; below 1 where features of fixed views are remembered.
    """

    name: str
    images: int
    image_size: int
    teachers: tuple[TeacherCost, ...]
    student: PassCost
    reads: float = 1.0


@dataclass(frozen=True)
class StageWork:
    """A stretch of steps."""

    name: str
    steps: int
    partitions: tuple[PartitionWork, ...]


@dataclass(frozen=True)
class Workload:
    """A run.

    Args:
        stages: in their order.
        student: its size; passes are counted in the stages.
        arms: that share a teacher pass.
        precision: of the student, as the configuration says it.
        teacher_precision: of the teachers, likewise.
        problems: what a run would refuse.
        microbatch: images whose activations a student keeps at a time; None for all.
        teacher_microbatch: images that go through a teacher at a time on a GPU; None for all.
    """

    stages: tuple[StageWork, ...]
    student: StudentCosts
    arms: int
    precision: str
    teacher_precision: str
    problems: tuple[str, ...] = ()
    microbatch: int | None = None
    teacher_microbatch: int | None = None

    @property
    def steps(self) -> int:
        """Of all stages."""
        return sum(stage.steps for stage in self.stages)


def workload(config: Mapping[str, Any], arms: int = 1) -> Workload:
    """Counts what the configuration of one run computes.

    Args:
        config: resolved and checked, as plain dicts and lists.
        arms: how many runs like it share one teacher pass.

    Raises:
        ValueError: a part refused an option.
    """
    members, chosen = split(config["teachers"])
    options: TrainerOptions = build(config["trainer"], "trainer")
    plans = read_stages(config.get("stages"), members)
    backbone = without_values(config["student"], "student", _usable)
    teachers = _Teachers(members, chosen)
    seen = {
        (stage, name): teachers.of(part, backbone.grid_at(part.scale))
        for stage, plan in plans.items()
        for name, part in plan.partitions.items()
    }
    student = _student(config, backbone, teachers.dims())
    stages = []
    for (stage, plan), (first, end) in zip(plans.items(), boundaries(plans, options.max_steps), strict=True):
        parts = (
            _partition(config, name, part, student, seen[stage, name], (end - first, len(plan.partitions)))
            for name, part in plan.partitions.items()
        )
        stages.append(StageWork(stage, end - first, tuple(parts)))
    return Workload(
        tuple(stages),
        student,
        arms,
        options.precision,
        options.teacher_precision,
        tuple(_finer_students(stages, student, plans)) if chosen.match == "student" else (),
        options.microbatch,
        chosen.microbatch,
    )


def _partition(
    config: Mapping[str, Any],
    name: str,
    part: PartitionPlan,
    student: StudentCosts,
    teachers: Sequence[TeacherCost],
    steps_and_partitions: tuple[int, int],
) -> PartitionWork:
    steps, partitions = steps_and_partitions
    images = part.batch_size(int(config["data"]["batch_size"]))
    return PartitionWork(
        name=name,
        images=images,
        image_size=student.image_size(part.scale),
        teachers=tuple(teachers),
        student=student.forward(part.scale, [teacher.name for teacher in teachers]),
        reads=share_of_reads(config, teachers, student.grid(part.scale), steps * images, partitions),
    )


class _Teachers:
    """Costs of teachers, each counted once for each image size."""

    def __init__(self, members: Mapping[str, Any], chosen: TeacherOptions) -> None:
        self.members, self.chosen = members, chosen
        self.known: dict[tuple[str, int], TeacherCost] = {}

    def of(self, part: PartitionPlan, grid: Grid) -> list[TeacherCost]:
        nodes = nodes_for(part, self.members, self.chosen, [grid])
        for name, node in nodes.items():
            if (name, node["image_size"]) not in self.known:
                self.known[name, node["image_size"]] = teacher_cost(name, node)
        return [self.known[name, node["image_size"]] for name, node in nodes.items()]

    def dims(self) -> dict[str, tuple[int | None, int | None]]:
        found = {name: cost.channels for (name, _), cost in self.known.items()}
        return {name: found[name] for name in self.members if name in found}


def _student(
    config: Mapping[str, Any], backbone: Any, dims: Mapping[str, tuple[int | None, int | None]]
) -> StudentCosts:
    """The student with its heads, and what its normalisers and its optimiser keep."""
    device = next(backbone.parameters()).device
    with fixed_seed():
        spaces = nn.ModuleDict(build_spaces(config["normalizer"], dims, backbone.width))
        with device:
            student = Student(backbone, build(config["head"], "head"), target_dims(spaces, dims))  # type: ignore[arg-type]
    held = sum(tensor.nbytes for tensor in (*spaces.parameters(), *spaces.buffers()))
    recipe: OptimizerRecipe = build(config["optimizer"], "optimizer")
    trained = nn.ModuleList([student, spaces.to(device)])
    state = state_bytes(recipe, trained)
    usual = STATES * sum(parameter.nbytes for parameter in trained.parameters() if parameter.requires_grad)
    return StudentCosts(student, usual if state is None else state, held, state_is_known=state is not None)


def _usable(backbone: Backbone) -> Backbone:
    """A backbone through which an image has gone."""
    side = backbone.image_size
    backbone(torch.zeros(1, 3, side, side, device=next(backbone.parameters()).device))
    return backbone


def state_bytes(recipe: OptimizerRecipe, module: nn.Module) -> int | None:
    """What an optimiser keeps of a module's parameters, found by one step without values; None if it reads some.

    Args:
        recipe: makes the optimiser.
        module: on the meta device, so that a step takes no memory; its gradients are set and taken away again.
    """
    optimizer = recipe.build(module)
    for group in optimizer.param_groups:
        group |= {option: False for option in ("fused", "foreach") if option in group}
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    try:
        optimizer.step()
    except RuntimeError:  # a rate that depends on a norm, for example
        return None
    for parameter in module.parameters():
        parameter.grad = None
    states = (value for state in optimizer.state.values() for value in state.values())
    return sum(value.nbytes for value in states if isinstance(value, torch.Tensor))


def share_of_reads(
    config: Mapping[str, Any], teachers: Sequence[TeacherCost], grid: Grid, shown: int, partitions: int
) -> float:
    """In which share of a stage's steps its teachers run: once for each fixed view where features are remembered.

    Args:
        config: of the run.
        teachers: who see a partition.
        grid: of the student's tokens.
        shown: images of all steps.
        partitions: among which the memory for features is divided.
    """
    images, views = config["data"].get("train_images"), config["augmentation"].get("views")
    if images is None or views is None:
        return 1.0
    cells = grid[0] * grid[1]
    row = 4 * sum((summary or 0) + (spatial or 0) * cells for summary, spatial in (each.channels for each in teachers))
    room = float(config["trainer"].get("memory_gb", 4.0)) * 1e9 / partitions
    kept = config["teachers"].get("store") is not None or images * views * row <= room
    return min(1.0, images * views / shown) if kept else 1.0


def _finer_students(stages: Sequence[StageWork], student: StudentCosts, plans: Mapping[str, StagePlan]) -> list[str]:
    """Partitions in which a teacher's features are coarser than the student's tokens, which a run refuses."""
    found = []
    for stage in stages:
        for part in stage.partitions:
            rows, columns = student.grid(plans[stage.name].partitions[part.name].scale)
            for teacher in part.teachers:
                grid = _cells(teacher, part.image_size)
                if grid is not None and (grid[0] < rows or grid[1] < columns):
                    found.append(
                        f"{stage.name}/{part.name}: the student's grid of {rows}x{columns} tokens is finer than the "
                        f"{grid[0]}x{grid[1]} features of teacher '{teacher.name}' at {teacher.image_size} px; raise "
                        f"teachers.{teacher.name}.image_size"
                    )
    return found


def _cells(teacher: TeacherCost, image_size: int) -> Grid | None:
    """Rows and columns of a teacher's features of an image of a step."""
    if teacher.grid is None or teacher.padded_cell is None:
        return teacher.grid
    side = max(1, round(image_size / teacher.padded_cell))
    return min(side, teacher.grid[0]), min(side, teacher.grid[1])
