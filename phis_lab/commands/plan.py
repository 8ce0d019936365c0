"""`phis-lab plan`: what a run will need, told before it begins."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from phis_lab.config.build import build
from phis_lab.config.check import check
from phis_lab.config.compose import composer
from phis_lab.config.refused import refused_by_hydra
from phis_lab.config.resolvers import to_plain
from phis_lab.plan import (
    LAYOUTS,
    Balance,
    Layout,
    Machine,
    Problem,
    Workload,
    balance,
    costs_of,
    device,
    given,
    planned,
    problems_of,
    workload,
)
from phis_lab.plan.hardware import STUDENT, TEACHERS
from phis_lab.plan.memory import Crews
from phis_lab.strategies import TeacherPartition

OWN = ("gpus", "gpu", "link", "price", "mfu", "arms", "rate_tflops", "memory_gb")
STRATEGY = re.compile(r"strategy=(\w+)")
UNREAD = re.compile(r"(data|evaluation)\.|teachers\.\w+\.weights$")
"""Options that a run needs a value for and a plan reads nothing of."""

SHORT = 0.02
"""Seconds of a step in which a GPU waits for the CPU: some thousand operations at ten microseconds each."""


@dataclass(frozen=True)
class Wanted:
    """What is planned for; None is what the configuration says, or what is usual.

    Args:
        gpus: how many devices.
        gpu: which, by its name in the table or any name with its figures.
        rate_tflops: TFLOP/s of dense products.
        memory_gb: of each device.
        link: GB/s in one direction between devices.
        mfu: which part of the rate teachers and students use.
        price: of a device for an hour.
        arms: that share one teacher pass.
    """

    gpus: int | None = None
    gpu: str | None = None
    rate_tflops: float | None = None
    memory_gb: float | None = None
    link: float | None = None
    mfu: float | None = None
    price: float | None = None
    arms: int = 1

    def __post_init__(self) -> None:
        for name in OWN:
            value = getattr(self, name)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"--{name.replace('_', '-')} {value}: a finite number is wanted")


@dataclass(frozen=True)
class Plan:
    """The answer.

    Args:
        work: what the run computes.
        machine: what computes it.
        chosen: the layout that was asked for.
        layouts: all that are possible, the chosen one among them.
        breaks: where each breaks, by its name.
        partitions: how a layout with ranks for each partition would be balanced; empty where no stage has several.
        assumptions: on which the numbers rest.
    """

    work: Workload
    machine: Machine
    chosen: Layout
    layouts: tuple[Layout, ...]
    breaks: dict[str, tuple[Problem, ...]]
    partitions: tuple[Balance, ...]
    assumptions: tuple[str, ...]

    @property
    def problems(self) -> list[str]:
        """What stands in the way of the chosen layout."""
        return [*self.work.problems, *self._own()]

    def refuse_what_does_not_start(self) -> None:
        """Raise ValueError where a run of the chosen layout would not start, or would run out of memory."""
        if reasons := [*self.work.problems, *self._own(slow=False)]:
            raise ValueError("this run would not start as it is planned: " + "; ".join(reasons))

    def _own(self, slow: bool = True) -> list[str]:
        breaks = (problem for problem in self.breaks[self.chosen.name] if slow or problem.stops)
        return [f"strategy={self.chosen.name} {problem.says}" for problem in breaks]


def plan(overrides: Sequence[str], wanted: Wanted | None = None, config_dir: Path | None = None) -> Plan:
    """Plans one run, or one group of arms.

    Args:
        overrides: as for `run.py`.
        wanted: what it is planned for.
        config_dir: of own configurations.

    Raises:
        ValueError: an override, a part or an option is refused.
    """
    wanted = wanted or Wanted()
    _refuse_own(overrides)
    named = next((match[1] for text in reversed(overrides) if (match := STRATEGY.fullmatch(text))), None)
    config = _composed(overrides, config_dir)
    check(config)
    strategy = build(config["strategy"], "strategy")
    name, ranks = _layout(named, strategy.processes, wanted.gpus)
    gpu = wanted.gpu or ("cpu" if config["trainer"]["accelerator"] == "cpu" else "a100")
    used = None if wanted.mfu is None else given(wanted.mfu)
    machine = Machine(
        device(gpu, wanted.rate_tflops, wanted.memory_gb, wanted.link),
        ranks,
        used or TEACHERS,
        used or STUDENT,
        wanted.price,
    )
    work = workload(config, wanted.arms)
    several = any(len(stage.partitions) > 1 for stage in work.stages)
    names = [each for each in LAYOUTS if each == name or (ranks > 1 and (several or each != "teacher_partition"))]
    crews, refusal = _crews(work, machine, strategy)
    layouts = {each: planned(work, machine, each, crews) for each in names}
    breaks = {each: tuple(problems_of(work, machine, layout, crews)) for each, layout in layouts.items()}
    if refusal is not None and "teacher_partition" in breaks:
        breaks["teacher_partition"] = (Problem(f"does not start: {refusal}"), *breaks["teacher_partition"])
    partitions = balance(work, machine, layouts["teacher_partition"]) if "teacher_partition" in layouts else []
    return Plan(
        work,
        machine,
        layouts[name],
        tuple(layouts.values()),
        breaks,
        tuple(partitions),
        tuple(_assumptions(work, machine, layouts[name])),
    )


def _crews(work: Workload, machine: Machine, strategy: object) -> tuple[Crews | None, str | None]:
    """Ranks for each partition, as the strategy divides them by what is counted here, or why it does not."""
    chosen: Any = None
    if isinstance(strategy, TeacherPartition):
        chosen = "measured" if strategy.measures else strategy.ranks
    images = {stage.name: {part.name: part.images for part in stage.partitions} for stage in work.stages}
    costs = {stage.name: costs_of(work, stage, machine) for stage in work.stages}
    try:
        return TeacherPartition(devices=machine.ranks, ranks=chosen).divide(images, costs), None
    except ValueError as error:
        return None, str(error)


def _refuse_own(overrides: Sequence[str]) -> None:
    for text in overrides:
        key, _, value = text.partition("=")
        if key in OWN:
            raise ValueError(
                f"{text}: options of the plan itself are written with dashes: --{key.replace('_', '-')} {value}"
            )
    with refused_by_hydra(overrides):
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    for override in parsed:
        if override.is_sweep_override():
            raise ValueError(
                f"{override.input_line}: a plan is of one run. Give one value, and with --arms how many runs share its "
                "teacher pass: those of one seed"
            )


def _layout(named: str | None, processes: int, gpus: int | None) -> tuple[str, int]:
    """The layout and its ranks."""
    ranks = processes if gpus is None else gpus
    if named == "single" and ranks > 1:
        raise ValueError(f"strategy=single is one process, and --gpus {ranks} asks for more; leave one of them out")
    if named in LAYOUTS:
        return str(named), ranks
    return ("single" if ranks == 1 else "ddp"), ranks


def _composed(overrides: Sequence[str], config_dir: Path | None) -> dict[str, Any]:
    """The resolved configuration; where data and weights lie need not be said."""
    with composer(overrides, None if config_dir is None else str(config_dir)) as of_command:
        missing = [key for key in OmegaConf.missing_keys(of_command.compose()) if UNREAD.match(key)]
        filled = [f"{key}={'null' if key.endswith('.weights') else 'unread'}" for key in missing]
        return to_plain(of_command.sound([*of_command.overrides, *filled]))


def _assumptions(work: Workload, machine: Machine, chosen: Layout) -> Iterator[str]:
    device = machine.device
    rates = ", ".join(f"{rate:g} TFLOP/s in {number}" for number, rate in device.tflops.items())
    memory = "unknown memory" if device.memory_gb is None else f"{device.memory_gb:g} GB of memory"
    yield f"{device.about}: {rates}, {memory}, {device.bandwidth:g} GB/s ({device.source})."
    yield f"Teachers use {machine.teachers.value:g} of that rate: {machine.teachers.source}."
    yield f"Students use {machine.student.value:g}: {machine.student.source}. A backward pass is two forward passes."
    if machine.ranks > 1:
        link = device.link_among(machine.ranks)
        yield f"A ring over {machine.ranks} ranks moves {link:g} GB/s in one direction; gradients are float32."
    yield (
        "Activations are counted on one image, those of the student as autograd keeps them, with fused attention and "
        "halved for bfloat16; for a ViT that is about 34 bytes x tokens x width x blocks. Weights are float32. What "
        "a rank needs is weights, state and teachers, and the larger of the teachers' and the student's work."
    )
    if not work.student.state_is_known:
        yield "What this optimiser keeps cannot be found without values; two copies of the weights are assumed."
    if any(part.reads < 1 for stage in work.stages for part in stage.partitions):
        yield "Features of fixed views are computed once, as memory_gb or a store holds them all."
    yield (
        "Not counted: loading and augmenting images, normalisers' products and statistics, losses, frozen first steps, "
        "evaluations, checkpoints, time in queues, and the memory of CUDA itself and of fragmentation."
    )
    if device.name != "cpu" and min(stage.seconds for stage in chosen.stages) < SHORT:
        yield "Steps this short wait for operations to be launched, which is not counted: they will take longer."
    for name in dict.fromkeys(
        teacher.name
        for stage in work.stages
        for part in stage.partitions
        for teacher in part.teachers
        if teacher.on_cpu
    ):
        yield f"Teacher {name} is run by onnxruntime on the CPU, whatever the device; its time there is not known."
