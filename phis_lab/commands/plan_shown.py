"""A plan for people, and as a document."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from phis_lab.commands.plan import Plan
from phis_lab.plan import LAYOUTS, Layout
from phis_lab.plan.workload import StageWork, Workload
from phis_lab.terminal import print_lines, print_whole

AS_FAST = 1.05
"""Times the fastest layout's hours: a simpler one that takes no longer is to be preferred."""


def show(plan: Plan) -> None:
    """Prints a plan."""
    machine, chosen = plan.machine, plan.chosen
    cost = "" if machine.price is None else f", {_money(chosen.device_hours * machine.price)}"
    arms = "" if plan.work.arms == 1 else f", {plan.work.arms} arms on one teacher pass"
    print_lines(
        [
            f"{plan.work.steps:,} steps{arms} on {chosen.ranks} x {machine.device.about}, strategy={chosen.name}: "
            f"{_hours(chosen.hours)}, {chosen.device_hours:,.4g} device-hours{cost}, "
            f"{chosen.images_per_second:,.4g} images/s, about {_gb(chosen.bytes_per_rank)} per rank",
        ],
        style="bold",
    )
    print_lines(plan.problems, style="yellow")
    print_lines([""])
    for table in (_networks(plan.work), _step(chosen), _memory(plan), _layouts(plan)):
        print_whole(table)
    print_lines(f"- {line}" for line in _about(plan))
    print_lines([""])
    if plan.partitions:
        print_whole(_balance(plan))
    print_lines(["Assumptions"], style="bold")
    print_lines(f"- {line}" for line in plan.assumptions)


def document(plan: Plan) -> dict[str, Any]:
    """A plan as it goes into JSON: seconds, bytes, operations and hours."""
    work, machine = plan.work, plan.machine
    return {
        "strategy": plan.chosen.name,
        "gpus": plan.chosen.ranks,
        "device": machine.device,
        "utilisation": {"teachers": machine.teachers, "student": machine.student},
        "steps": work.steps,
        "arms": work.arms,
        "student": {
            "parameters": work.student.parameters,
            "head_parameters": work.student.heads,
            "optimiser_state_bytes": work.student.state_bytes,
        },
        "stages": [_stage_document(stage) for stage in work.stages],
        "layouts": {layout.name: _layout_document(plan, layout) for layout in plan.layouts},
        "partitions": plan.partitions,
        "problems": plan.problems,
        "assumptions": plan.assumptions,
    }


def _stage_document(stage: StageWork) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "steps": stage.steps,
        "partitions": [
            {
                "partition": part.name,
                "images": part.images,
                "image_size": part.image_size,
                "student_flops_per_image": part.student.flops,
                "share_of_steps_with_teachers": part.reads,
                "teachers": [
                    {
                        "name": teacher.name,
                        "image_size": teacher.image_size,
                        "parameters": teacher.parameters,
                        "flops_per_image": teacher.forward.flops,
                    }
                    for teacher in part.teachers
                ],
            }
            for part in stage.partitions
        ],
    }


def _layout_document(plan: Plan, layout: Layout) -> dict[str, Any]:
    price = plan.machine.price
    return {
        "ranks": layout.ranks,
        "hours": layout.hours,
        "gpu_hours": layout.device_hours,
        "cost": None if price is None else layout.device_hours * price,
        "images_per_second": layout.images_per_second,
        "bytes_per_rank": layout.bytes_per_rank,
        "memory": layout.memory,
        "stages": layout.stages,
        "problems": [problem.says for problem in plan.breaks[layout.name]],
    }


def _networks(work: Workload) -> Table:
    table = Table(
        *("network", "stage", "partition", "pixels", "parameters", "GFLOP per image, forward", "images a step")
    )
    for stage in work.stages:
        for part in stage.partitions:
            place = stage.name, part.name
            for teacher in part.teachers:
                size = f"{teacher.image_size}", _millions(teacher.parameters), f"{teacher.forward.flops / 1e9:,.4g}"
                table.add_row(teacher.name, *place, *size, f"{part.reads * part.images:,.4g}")
            own = f"{part.image_size}", _millions(work.student.parameters), f"{part.student.flops / 1e9:,.4g}"
            table.add_row("student and heads", *place, *own, f"{part.images:,}")
    return table


def _step(layout: Layout) -> Table:
    table = Table(
        *(
            "stage",
            "steps",
            "ranks of",
            "images a step",
            "teachers",
            "student",
            "optimiser",
            "link",
            "waiting",
            "step (ms)",
        ),
        title=f"One step, in ms, strategy={layout.name}",
    )
    for stage in layout.stages:
        for share in stage.shares:
            step = share.step
            link = f"{_ms(step.link)} + {_ms(step.hidden)} hidden" if step.hidden else _ms(step.link)
            times = _ms(step.teachers), _ms(step.student), _ms(step.optimiser), link, _ms(step.waiting), _ms(step.total)
            table.add_row(stage.stage, f"{stage.steps:,}", share.partition, f"{stage.images:,}", *times)
    return table


def _memory(plan: Plan) -> Table:
    table = Table("part", *(layout.name for layout in plan.layouts), title="Memory of the fullest rank, in GB")
    for part in plan.chosen.memory:
        table.add_row(part, *(f"{layout.memory[part] / 1e9:,.2f}" for layout in plan.layouts))
    table.add_row("at once", *(f"{layout.bytes_per_rank / 1e9:,.2f}" for layout in plan.layouts), style="bold")
    return table


def _layouts(plan: Plan) -> Table:
    price = plan.machine.price
    heads = "strategy", "ranks", "hours", "device-hours", *(() if price is None else ("cost",)), "images/s", "works"
    table = Table(*heads, title="Ways of spreading it")
    for layout in plan.layouts:
        cost = () if price is None else (_money(layout.device_hours * price),)
        numbers = f"{layout.hours:,.4g}", f"{layout.device_hours:,.4g}", *cost, f"{layout.images_per_second:,.4g}"
        stops = {problem.stops for problem in plan.breaks[layout.name]}
        works = "no" if True in stops else "slowly" if stops else "yes"
        table.add_row(layout.name, f"{layout.ranks}", *numbers, works)
    return table


def _about(plan: Plan) -> Iterator[str]:
    """Which layout to take, what each is, and where it breaks."""
    works = [layout for layout in plan.layouts if not any(problem.stops for problem in plan.breaks[layout.name])]
    if works:
        fastest = min(layout.hours for layout in works)
        simplest = next(layout for layout in works if layout.hours <= fastest * AS_FAST)
        most = f"{AS_FAST - 1:.0%} longer than the fastest"
        yield f"Take {simplest.name}: the first of these that works and takes at most {most}."
    for layout in plan.layouts:
        yield f"{layout.name}: {LAYOUTS[layout.name]}."
        if layout is not plan.chosen:
            yield from (f"{layout.name} {problem.says}." for problem in plan.breaks[layout.name])


def _balance(plan: Plan) -> Table:
    table = Table(
        *("stage", "partition", "ranks", "ms", "waits", "ranks by work", "best whole ranks", "ms with those"),
        title="Ranks of their own for each partition (teacher_partition): who waits, and what would balance it",
    )
    for row in plan.partitions:
        best = ("none", "-") if row.best_seconds is None else (f"{row.best_ranks}", _ms(row.best_seconds))
        waits = f"{100 * row.idle:.0f}%"
        table.add_row(
            row.stage, row.partition, f"{row.ranks:.4g}", _ms(row.seconds), waits, f"{row.fair_ranks:.1f}", *best
        )
    return table


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:,.4g}"


def _gb(size: float) -> str:
    return f"{size / 1e9:,.3g} GB"


def _millions(count: int) -> str:
    return f"{count / 1e6:,.4g} M"


def _hours(hours: float) -> str:
    if hours >= 1:
        return f"{hours:,.4g} hours"
    return f"{60 * hours:.3g} minutes" if 60 * hours >= 1 else f"{3600 * hours:.2g} seconds"


def _money(amount: float) -> str:
    return f"${amount:,.2f}" if amount < 1000 else f"${amount:,.0f}"
