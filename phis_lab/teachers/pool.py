"""All teachers of a run, as one function of the images."""

import copy
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from phis_lab import compiling
from phis_lab.features import Features, Grid, Resize, match_grid
from phis_lab.guards import TeacherError
from phis_lab.precision import Precision, full_float32, has_bfloat16
from phis_lab.shapes import Float
from phis_lab.teachers.base import Teacher
from phis_lab.teachers.pixels import check_images

CPU_CHUNK = 16
LARGE = 50_000_000
"""Parameters of a network whose pass on a CPU one would wait for."""
log = logging.getLogger(__name__)


class TeacherPool(nn.Module):
    """Runs every teacher on the same images without gradients.

    The teachers follow the pool from device to device but are not its submodules: they appear in no
    `state_dict`, no optimiser and no gradient exchange, so a checkpoint holds the student only and loads
    without the teachers' files.

    On a CPU the batch goes through in chunks of exactly 16 images, whose activations stay in the cache. Copies of the
    last image fill the last chunk, so every image meets the same kernels, and its features are the same bit for bit
    whatever its neighbours, its place and the size of the batch. Teachers with the same image size and interpolation
    share the resized images.

    Args:
        teachers: by name.
        precision: "auto" computes in bfloat16 where the hardware has it and the teacher keeps its features,
            in float32 otherwise. The features are float32 in every case, and float32 is never TF32.
        resize: how `on_grid` resamples spatial features.
        microbatch: images that go through a teacher at a time, but on a CPU; None are all. A teacher that runs out of
            memory takes half as many from then on; features may then differ in their last bits.
        compiled: the teachers go through torch.compile, for minutes at the first batch of a size; other last bits.
    """

    def __init__(
        self,
        teachers: Mapping[str, Teacher],
        precision: Precision = "auto",
        resize: Resize = "antialias",
        microbatch: int | None = None,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        if not teachers:
            raise ValueError("a TeacherPool needs at least one teacher, received none")
        self.teachers = {
            name: teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            for name, teacher in teachers.items()
        }
        self.precision: Precision = precision
        self.resize: Resize = resize
        chosen = self.teachers if compiled else {}
        self._compiled = {name: compiling.compiled(teacher.features) for name, teacher in chosen.items()}
        self._most = dict.fromkeys(teachers, microbatch)

    @torch.no_grad()
    def forward(self, images: Float[Tensor, "b 3 h w"]) -> dict[str, Features]:
        """Returns each teacher's features of images in [0, 1].

        Raises:
            ValueError: if `images` is not `[b, 3, h, w]` in [0, 1].
        """
        check_images(images)
        features: dict[str, Features] = {}
        for names in self._by_resizing():
            resize = self.teachers[names[0]].pixels.resize
            parts = [resize(part) for part in whole_chunks(images)]
            features |= {name: self._run(name, parts, len(images)) for name in names}
        return {name: features[name] for name in self.teachers}

    def on_grid(self, features: Features, grid: Grid) -> Features:
        """Returns features with the spatial ones resampled to a grid, contiguous and in float32.

        Remembered features have the same memory layout: sums of equal values are then equal bits.
        """
        spatial = features.spatial
        return features._replace(
            spatial=None if spatial is None else match_grid(spatial, grid, self.resize).contiguous()
        )

    def describe(self, device: str = "cpu") -> dict[str, dict[str, str | int | None]]:
        """What identifies each teacher's features, for the record of a run.

        Args:
            device: where the run computes, "cpu" or "cuda": the precision depends on it.
        """
        how = {"compiled": "yes"} if self._compiled else {}
        return {
            name: {
                "source": teacher.weights.source,
                "sha256": teacher.weights.sha256,
                "layer": teacher.layer,
                "image_size": teacher.image_size,
                "pixels": teacher.pixels.protocol,
                "spatial_dim": teacher.spatial_dim,
                "summary_dim": teacher.summary_dim,
                "precision": self._precision(teacher, device),
                "resize": self.resize,
                **how,
            }
            for name, teacher in self.teachers.items()
        }

    def alone(self, name: str) -> "TeacherPool":
        """A pool of one of the teachers, which computes as this one does and learns of memory for itself."""
        compiled = bool(self._compiled)
        return TeacherPool({name: self.teachers[name]}, self.precision, self.resize, compiled=compiled)

    def check_grids(self, image_size: int, grids: Iterable[Grid], finer_students: bool = False) -> None:
        """Refuse students whose grids are finer than a teacher's, by one blank image per teacher.

        Args:
            image_size: side of the images that will be given.
            grids: token grids of the students.
            finer_students: allow them: their predictions are compared on their own, finer grid.

        Raises:
            ValueError: naming the teacher and both grids.
        """
        rows, columns = (max(sizes) for sizes in zip(*grids, strict=True))
        for name, teacher in self.teachers.items() if not finer_students else ():
            spatial = features_of_blank(teacher, image_size).spatial
            if spatial is not None and (spatial.shape[1] < rows or spatial.shape[2] < columns):
                raise ValueError(
                    f"the student's grid of {rows}x{columns} tokens is finer than the {spatial.shape[1]}x"
                    f"{spatial.shape[2]} features of teacher '{name}' at {teacher.image_size} px: raise "
                    f"teachers.{name}.image_size, or compare on the finer grid with teachers.match=larger"
                )

    def parameters_of_teachers(self) -> Iterator[nn.Parameter]:
        """The frozen parameters, which `parameters` does not give."""
        for teacher in self.teachers.values():
            yield from teacher.parameters()

    def _by_resizing(self) -> list[list[str]]:
        """The teachers' names, those together that see the same pixels before normalisation."""
        groups: dict[tuple[int, str, int | None], list[str]] = {}
        for name, teacher in self.teachers.items():
            pixels = teacher.pixels
            groups.setdefault((pixels.image_size, pixels.interpolation, pixels.padded_cell), []).append(name)
        return list(groups.values())

    def _run(self, name: str, parts: Sequence[Tensor], count: int) -> Features:
        teacher, device = self.teachers[name], parts[0].device.type
        low = self._precision(teacher, device) == "bfloat16"
        exact = full_float32(convolutions=True) if device == "cuda" and not low else nullcontext()
        with exact, torch.autocast(device, torch.bfloat16, enabled=low):
            features = [of_piece for part in parts for of_piece in self._in_pieces(name, teacher, part)]
        return Features(*(joined(tensors, count) for tensors in zip(*features, strict=True)))

    def _in_pieces(self, name: str, teacher: Teacher, images: Tensor) -> list[Features]:
        """A teacher's features of images, as many at a time as memory has room for."""
        while True:
            most = len(images) if in_chunks_of_the_cache(images) else self._most[name] or len(images)
            try:
                return [teacher.run(piece, self._compiled.get(name)) for piece in images.split(max(1, most))]
            except torch.OutOfMemoryError as error:
                if most <= 1:
                    raise TeacherError(f"teacher '{name}' runs out of memory with one image: {error}") from error
                self._most[name] = most // 2
                log.warning("Teacher %s ran out of memory with %d images at a time: %d now.", name, most, most // 2)

    def _precision(self, teacher: Teacher, device: str) -> str:
        if teacher.computes_in is not None:
            return teacher.computes_in
        if self.precision != "auto":
            return self.precision
        return "bfloat16" if teacher.bfloat16_is_faithful and has_bfloat16(device) else "float32"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "TeacherPool":
        for teacher in self.teachers.values():
            teacher._apply(fn, recurse)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


def features_of_blank(teacher: Teacher, image_size: int) -> Features:
    """Features of one blank image; of a large network their shapes alone, where it runs without values.

    On a CPU a pass of SAM's ViT-H takes minutes.
    """
    tensors = {id(tensor): tensor for tensor in (*teacher.parameters(), *teacher.buffers())}
    if sum(tensor.numel() for tensor in tensors.values()) > LARGE:
        try:
            twin = copy.deepcopy(teacher, tensors)  # shares them, and keeps what such a pass leaves in a network
            with FakeTensorMode(allow_non_fake_inputs=True):
                return twin.run(torch.zeros(1, 3, image_size, image_size))
        except Exception as error:
            log.debug("Teacher %s has to run for its shapes: %s", teacher.name, error)
    device = next(iter(tensors.values()), torch.empty(0)).device
    return teacher.run(torch.zeros(1, 3, image_size, image_size, device=device))


def in_chunks_of_the_cache(images: Tensor) -> bool:
    """Whether images go through teachers in chunks of 16: on a CPU."""
    return images.is_cpu


def whole_chunks(images: Float[Tensor, "b 3 h w"]) -> Sequence[Float[Tensor, "n 3 h w"]]:
    """Splits a batch on the CPU into chunks of 16 images, the last one filled with its last image; elsewhere one."""
    if not in_chunks_of_the_cache(images) or len(images) == 0:
        return [images]
    missing = -len(images) % CPU_CHUNK
    filled = torch.cat([images, images[-1:].expand(missing, -1, -1, -1)]) if missing else images
    return torch.split(filled, CPU_CHUNK)


def joined(tensors: Sequence[Tensor | None], count: int) -> Float[Tensor, "count *rest"] | None:
    """Returns the first `count` rows of the tensors' concatenation in float32, converted while they are copied."""
    parts = [tensor for tensor in tensors if tensor is not None]
    if not parts:
        return None
    whole = parts[0].new_empty((count, *parts[0].shape[1:]), dtype=torch.float32)
    for rows, part in zip(whole.split(len(parts[0]) or 1), parts, strict=True):
        rows.copy_(part[: len(rows)])
    return whole
