"""One arm: a student with its heads, normalisers, loss, balancer, optimiser and random streams."""

import copy
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh

from phis_lab import compiling, processes
from phis_lab.engine import sharding
from phis_lab.engine.arm_step import (
    SMALLEST_SCALE,
    Forward,
    OptimizerRecipe,
    in_parts,
    scaler_for,
)
from phis_lab.engine.gradients import averaged_gradients
from phis_lab.engine.views import Pair, View, common, joined, split_like
from phis_lab.features import Features, Grid
from phis_lab.guards import PartError, check_tensor, working
from phis_lab.linalg import Moments
from phis_lab.losses import Balancer, Loss
from phis_lab.normalizers import TeacherSpace
from phis_lab.precision import low_products
from phis_lab.seeds import RandomStream
from phis_lab.shapes import Float
from phis_lab.students import Student
from phis_lab.students.spectral import SpectralReparametrization


class StepResult(NamedTuple):
    """What one optimisation step of one arm gave; whether it is finite, and logging, are the caller's business.

    Its numbers are this process's, and stay on the device: to read one makes a GPU wait.

    Attributes:
        loss: of the step.
        rows: "<teacher>/<term>" -> mean over images, in the normalised space.
        lr: learning rate.
        pairs: predictions in the normalised space and targets, from which the loss was computed.
    """

    loss: Float[Tensor, ""]
    rows: dict[str, Float[Tensor, ""]]
    lr: float
    pairs: list[Pair]


Targets = Callable[[TeacherSpace, Features], Features]
"""(how a teacher is matched, its features) -> what the student is asked to match."""


class ArmFailedError(ValueError):
    """One arm cannot go on; the others can."""


class Arm(nn.Module):
    """Everything that a method chooses, trained on features that all arms share.

    Args:
        student: backbone with one head per teacher and kind of token.
        spaces: how each teacher is matched.
        loss: gives one row per teacher and kind; every teacher has its own copy, and a fresh one in every stage.
        balancer: weighs the rows of a partition, likewise.
        recipe: optimiser and schedule.
        stream: random numbers of this arm alone.
        low_precision: dtype of the student's matrix products; None for float32.
        compiled: steps, not evaluations, run the student through torch.compile.
        microbatch: images of a step whose activations are kept at a time, see `TrainerOptions`.

    Raises:
        ValueError: parts of a batch would not be computed as the whole.
    """

    def __init__(
        self,
        student: Student,
        spaces: Mapping[str, TeacherSpace],
        loss: Loss,
        balancer: Balancer,
        recipe: OptimizerRecipe,
        stream: RandomStream,
        low_precision: torch.dtype | None = None,
        compiled: bool = False,
        microbatch: int | None = None,
    ) -> None:
        super().__init__()
        if microbatch is not None and any(isinstance(part, SpectralReparametrization) for part in student.modules()):
            raise ValueError(
                f"trainer.microbatch={microbatch} computes parts of a batch twice, and with student.spectral=true "
                "every computation moves the weights' spectral norms on; choose one of both"
            )
        self.student = student
        self.spaces = nn.ModuleDict(spaces)
        self._trained = (nn.ModuleDict({"student": student, "spaces": self.spaces}),)  # no submodule
        self.recipe, self.stream = recipe, stream
        self.low_precision, self.microbatch = low_precision, microbatch
        self._fresh = (loss, balancer)
        self.enter("all", ["all"])
        self._forward: Forward = compiling.compiled(student.forward) if compiled else student.__call__

    def enter(self, stage: str, partitions: Collection[str]) -> None:
        """Begin a stage: the student goes on; loss, balancer and optimiser begin anew.

        Args:
            stage: its name.
            partitions: whose losses are balanced each for itself.
        """
        loss, balancer = self._fresh
        self.stage = stage
        self.losses = nn.ModuleDict({teacher: copy.deepcopy(loss) for teacher in self.student.teachers})
        self.balancers = nn.ModuleDict({name: copy.deepcopy(balancer) for name in partitions})
        for name, of_partition in self.balancers.items():
            of_partition.reseed(f"{stage}/{name}")  # type: ignore[operator]
        for module in (self.losses, self.balancers):
            module.to(next(self.student.parameters()).device)
        self.student.backbone.requires_grad_(True)
        self.optimizer = self.recipe.build(self._trained[0])
        self.scaler = scaler_for(self.low_precision)

    def shard(self, mesh: DeviceMesh) -> None:
        """Divide the student, and with it gradients and optimiser state, among the processes of a mesh."""
        sharding.shard(self.student, mesh)
        self.optimizer = self.recipe.build(self._trained[0])

    def whole(self) -> AbstractContextManager[None]:
        """While it lasts, every part of the student can be called by each process for itself."""
        return sharding.whole(self.student)

    def space(self, teacher: str) -> TeacherSpace:
        """How a teacher is matched."""
        return cast(TeacherSpace, self.spaces[teacher])

    @property
    def patch_size(self) -> int:
        """Side of the student's patches in pixels."""
        return self.student.backbone.patch_size

    @property
    def needs_covariance(self) -> bool:
        """Whether a map of it is fitted to full moments; variances alone do otherwise."""
        return any(self.space(teacher).needs_covariance for teacher in self.spaces)

    def grid_at(self, scale: float = 1.0) -> Grid:
        """Rows and columns of the student's tokens on images `scale` times as large as its own."""
        return self.student.backbone.grid_at(scale)

    def predict(
        self,
        images: Float[Tensor, "b 3 h w"],
        scale: float = 1.0,
        teachers: Collection[str] | None = None,
        student: Student | None = None,
    ) -> tuple[Features, dict[str, Features]]:
        """Student tokens, and per teacher what the heads say in the normalised space, in float32.

        Args:
            images: in [0, 1].
            scale: size at which the student sees them, over its own image size.
            teachers: of whom predictions are wanted; None for all.
            student: a copy of the arm's, to be asked in its place.
        """
        return self._predict(student or self.student, images, scale, teachers)

    def _predict(
        self, forward: Forward, images: Tensor, scale: float, teachers: Collection[str] | None
    ) -> tuple[Features, dict[str, Features]]:
        side = self.student.backbone.image_size_at(scale)
        low = low_products(images.device.type, self.low_precision)
        with low, working("the student, or one of its heads,", self.student, torch.OutOfMemoryError):
            tokens, predictions = forward(images, side, teachers)
        for name, prediction in predictions.items():
            self._check_prediction(name, prediction, tokens)
        return tokens.float(), {name: prediction.float() for name, prediction in predictions.items()}

    def _check_prediction(self, teacher: str, prediction: Features, tokens: Features) -> None:
        heads = self.student.summary_heads, self.student.spatial_heads
        for of_kind, given, seen, dim in zip(heads, prediction, tokens, self.student.dims[teacher], strict=True):
            if teacher in of_kind and seen is not None:
                what = f"the head of teacher '{teacher}'"
                check_tensor(what, of_kind[teacher], given, (*seen.shape[:-1], dim))

    def step(
        self, views: Mapping[str, View], step: int, max_steps: int, targets: Targets = TeacherSpace.targets
    ) -> StepResult:
        """One optimisation step on the mean of the partitions' losses.

        Args:
            views: what the arm sees of each partition.
            step: of the stage, counted from the first in which students learn.
            max_steps: of the stage.
            targets: what a space makes of a teacher's features, which several arms may take from one place.

        Raises:
            ArmFailedError: gradients overflow in float16 at any scale.
            PartError: a part raised an error, or gave something of another kind or shape; the student stays as it was.
        """
        frozen = step < self.recipe.frozen_body_steps and self.student.has_heads
        is_sharded = sharding.is_sharded(self.student)
        self.student.backbone.requires_grad_(is_sharded or not frozen)  # shares keep what they were divided with
        losses: list[Tensor] = []
        crew = next((view.crew for view in views.values()), None)  # of whom a process sees one partition alone
        rows: dict[str, Tensor] = {}
        for teacher in self.spaces:
            self.space(teacher).schedule(step / max_steps)
        with self.stream.at(self.stage, step), processes.within(crew and crew.group):
            pairs = [self._pair(view) for view in views.values()]
            for name, pair, goals in zip(views, pairs, self._goals(pairs, targets), strict=True):
                of_view = self._rows(pair, goals)
                own = self._training_rows(pair)
                losses.append(self._balanced(name, torch.stack(list(of_view.values()))) + sum(own.values()))
                of_view |= own
                whole = len(views) == 1 and crew is None
                rows |= of_view if whole else {f"{row}/{name}": value for row, value in of_view.items()}
        loss = torch.stack(losses).mean()
        loss = loss if crew is None else crew.weight * loss
        with averaged_gradients(() if is_sharded else self._trained[0].parameters()):
            self.scaler.scale(loss).backward()
        if is_sharded and frozen:
            self.student.backbone.zero_grad(set_to_none=True)
        self.scaler.unscale_(self.optimizer)
        for parameters in self._clipped():
            nn.utils.clip_grad_norm_(parameters, self.recipe.clip)  # type: ignore[arg-type]
        lr = self.recipe.set_rate(self.optimizer, step, max_steps)
        self.scaler.step(self.optimizer)
        self.optimizer.zero_grad(set_to_none=True)  # so that the gradients of one arm at a time take memory
        self.scaler.update()
        if self.scaler.is_enabled() and self.scaler.get_scale() < SMALLEST_SCALE:
            raise ArmFailedError(f"gradients overflow in float16 at any scale of the loss, after {step} of its steps")
        return StepResult(loss.detach(), {name: row.detach().mean() for name, row in rows.items()}, lr, pairs)

    def _clipped(self) -> list[list[nn.Parameter]]:
        """Parameters whose gradients are clipped together: the student's, and those of maps that train themselves."""
        if self.recipe.clip is None:
            return []
        kinds = [list(module.parameters()) for module in (self.student, self.spaces)]
        return [parameters for parameters in kinds if parameters]

    def _pair(self, view: View) -> Pair:
        def predict(images: Tensor) -> dict[str, Features]:
            return self._predict(self._forward, images, view.scale, tuple(view.features))[1]

        return common(in_parts(predict, view.images, self.microbatch), view)

    def _goals(self, pairs: Sequence[Pair], mapped: Targets) -> list[dict[str, Features]]:
        """Normalised targets of every partition.

        A teacher that several show is normalised once, with all its tokens: running statistics are of all of them.
        """
        goals: list[dict[str, Features]] = [{} for _ in pairs]
        for teacher in dict.fromkeys(name for pair in pairs for name in pair.targets):
            places = [number for number, pair in enumerate(pairs) if teacher in pair.targets]
            targets = [pairs[number].targets[teacher] for number in places]
            space = self.space(teacher)
            several = len(targets) > 1
            parts = split_like(space.targets(joined(targets)), targets) if several else [mapped(space, targets[0])]
            for number, part in zip(places, parts, strict=True):
                goals[number][teacher] = part
        return goals

    def _rows(self, pair: Pair, goals: Mapping[str, Features]) -> dict[str, Tensor]:
        rows: dict[str, Tensor] = {}
        for teacher, goal in goals.items():
            loss = self.losses[teacher]
            with working("the loss", loss):
                terms = loss(pair.predictions[teacher], goal)
            if not isinstance(terms, Mapping):
                given = type(terms).__name__
                raise PartError(f"the loss ({type(loss).__name__}) gives a {given}, and a dict of rows is wanted")
            for kind, term in terms.items():
                images = next(len(tensor) for tensor in goal if tensor is not None)
                check_tensor(f"the loss, row '{kind}' of teacher '{teacher}',", loss, term, (images,))
            rows |= {f"{teacher}/{kind}": term for kind, term in terms.items()}
        return rows

    def _balanced(self, partition: str, rows: Float[Tensor, "rows batch"]) -> Float[Tensor, ""]:
        balancer = self.balancers[partition]
        with working("the balancer", balancer):
            loss: Tensor = balancer(rows)
        check_tensor("the balancer", balancer, loss, ())
        return loss

    def _training_rows(self, pair: Pair) -> dict[str, Tensor]:
        """What trains normalisers that are learned."""
        return {
            f"{teacher}/{row}": value
            for teacher, target in pair.targets.items()
            for row, value in self.space(teacher).training_loss(target).items()
        }

    def fit(self, moments: Mapping[str, Moments], step: int, by: Mapping[str, int] | None = None) -> None:
        """Fit every normaliser in one process, whose map all others take over bit for bit.

        Eigenvectors that two processes solve for may differ, by their signs or by more where eigenvalues are close.

        Args:
            moments: of every teacher.
            step: of the run.
            by: rank of the process that fits it, by teacher; the first one fits what is left out.

        Raises:
            ArmFailedError: statistics that the method cannot use, with the teacher and the step.
        """
        ranks = dict.fromkeys(moments, 0) | dict(by or {})
        own = {teacher: of for teacher, of in moments.items() if ranks[teacher] == processes.rank()}
        if reasons := list(filter(None, processes.of_all(self._fit(own, step)))):
            raise ArmFailedError(reasons[0])
        if processes.world_size() > 1:
            for teacher in moments:
                statistics = dict(self.spaces[teacher].named_buffers())
                processes.broadcast(statistics.values(), ranks[teacher])
                self.spaces[teacher].load_state_dict(statistics, strict=False)  # forgets what it had derived

    def _fit(self, moments: Mapping[str, Moments], step: int) -> str | None:
        """Returns why it failed."""
        for teacher, of_teacher in moments.items():
            try:
                self.space(teacher).fit(of_teacher)
            except PartError as error:
                reason = error.__cause__ if isinstance(error.__cause__, ValueError) else error
                return f"teacher '{teacher}', spatial features, step {step}: {reason}"
        return None

    def release(self) -> None:
        """Free the memory that only training needs."""
        self.optimizer.zero_grad(set_to_none=True)
        self.optimizer.state.clear()

    @torch.no_grad()
    def is_finite(self, images: Float[Tensor, "b 3 h w"], scale: float = 1.0) -> bool:
        """Whether all that the student says of some images is finite; a last step may have broken it."""
        tokens, predictions = self.predict(images, scale)
        said = [tensor for features in (tokens, *predictions.values()) for tensor in features.kinds().values()]
        return bool(torch.stack([tensor.isfinite().all() for tensor in said]).all())

    @torch.no_grad()
    def teacher_errors(self, pairs: Iterable[Pair]) -> dict[str, Float[Tensor, ""]]:
        """Mean squared error of spatial predictions, where methods compare; of several partitions their mean."""
        errors: dict[str, list[Tensor]] = {}
        for pair in pairs:
            for teacher, target in pair.targets.items():
                (_, spatial), (_, wanted) = self.space(teacher).comparable(pair.predictions[teacher], target)
                if spatial is not None and wanted is not None:
                    errors.setdefault(teacher, []).append((spatial - wanted).square().mean())
        return {teacher: torch.stack(values).mean() for teacher, values in errors.items()}

    def take_over(self, of_partition: Mapping[str, int], of_teacher: Mapping[str, int]) -> None:
        """Take over what only other processes have seen: running statistics of teachers, losses and balancers.

        Args:
            of_partition: rank of a process that has seen it, by partition.
            of_teacher: likewise by teacher.
        """
        for modules, ranks in ((self.balancers, of_partition), (self.losses, of_teacher), (self.spaces, of_teacher)):
            for name, rank in ranks.items():
                modules[name].load_state_dict(processes.said_by(rank, modules[name].state_dict()))

    def training_state(self) -> dict[str, Any]:
        """All that a resumed arm needs to go on as if it had never stopped; all processes call this together."""
        state = {
            "modules": self.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        return sharding.gathered(state) if sharding.is_sharded(self.student) else state

    def load_training_state(self, state: Mapping[str, Any]) -> None:
        """Inverse of `training_state`."""
        self.load_state_dict(sharding.divided_modules(state["modules"], self))
        self.optimizer.load_state_dict(sharding.divided_optimizer(state["optimizer"], self.optimizer))
        if self.scaler.is_enabled() and state["scaler"]:  # in no other precision is there one
            self.scaler.load_state_dict(state["scaler"])
