"""A student as one ONNX graph: pixels in [0, 1] to its tokens and to each teacher's features, any batch and size."""

import copy
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from phis_lab.features import Features
from phis_lab.refusals import one_line
from phis_lab.shapes import Float, unchecked
from phis_lab.students.backbone import Backbone
from phis_lab.students.export.sampled_positions import can_sample, sampled
from phis_lab.students.export_folder import Description
from phis_lab.students.student import Student

FILE = "student.onnx"
OPSET = 18
CLOSE = 1e-4
"""By how much, in units of the largest value of an output, onnxruntime may differ."""

log = logging.getLogger(__name__)


class _Flat(nn.Module):
    """A student whose answers are one tuple of tensors, for images as they come."""

    def __init__(self, student: Student, grids_are_free: bool) -> None:
        super().__init__()
        self.student = copy.deepcopy(student)
        self.student._forward_pre_hooks.clear()  # which would read the images
        if grids_are_free:
            self.student.backbone.resizes = False
        self.names = tuple(_named(*_blank_answers(student)))

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> tuple[Tensor, ...]:
        """The tensors of `names`, in their order."""
        return tuple(_named(*self.student(images)).values())


def _named(tokens: Features, predictions: Mapping[str, Features]) -> dict[str, Tensor]:
    """`summary`, `spatial`, and `TEACHER_summary`, `TEACHER_spatial` of every teacher."""
    answers = {"": tokens} | {f"{name}_": features for name, features in predictions.items()}
    return {
        f"{of}{kind}": tensor
        for of, features in answers.items()
        for kind, tensor in features._asdict().items()
        if tensor is not None
    }


@torch.no_grad()
def _blank_answers(student: Student) -> tuple[Features, dict[str, Features]]:
    side = student.backbone.image_size
    answers: tuple[Features, dict[str, Features]] = student(torch.zeros(1, 3, side, side))
    return answers


def write(folder: Path, student: Student, description: Description) -> list[Path]:
    """Writes `student.onnx`, which onnxruntime was seen to compute as torch does.

    The batch is free, and so are height and width, in whole patches, where the student's position embeddings are of a
    kind that can be sampled on any grid within the graph. Otherwise the images have the student's own size, which the
    log says.

    Raises:
        ValueError: torch does not write this student as ONNX, or onnxruntime computes something else.
    """
    free = type(student.backbone).forward is Backbone.forward and can_sample(student.backbone.positions)
    if not free:
        log.warning(
            "%s takes images of %d x %d pixels alone: this student's positions cannot be sampled within a graph.",
            *(FILE, student.backbone.image_size, student.backbone.image_size),
        )
    flat = _Flat(student, free).eval()
    file = folder / FILE
    _export(flat, file, free)
    _describe(file, description, student.backbone, free)
    _compare(file, flat, free)
    return [file]


def _export(flat: _Flat, file: Path, free: bool) -> None:
    graph = copy.deepcopy(flat)
    backbone = graph.student.backbone
    if free:
        backbone.positions = sampled(backbone.positions)
    axes = {"images": {0: "batch"} | ({2: "height", 3: "width"} if free else {})}
    rows = {1: "rows", 2: "columns"} if free else {}
    axes |= {name: {0: "batch"} | (rows if name.endswith("spatial") else {}) for name in flat.names}
    example = torch.rand(2, 3, backbone.image_size, backbone.image_size, generator=torch.Generator().manual_seed(0))
    try:
        with warnings.catch_warnings(), torch.no_grad(), unchecked():
            warnings.simplefilter("ignore")  # of tracing, which the comparison makes good
            torch.onnx.export(
                graph,
                (example,),
                str(file),
                input_names=["images"],
                output_names=list(flat.names),
                dynamic_axes=axes,
                opset_version=OPSET,
                dynamo=False,
            )
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as error:
        reason = one_line(error)
        raise ValueError(
            f"torch does not write this student as ONNX ({reason}); export with --to safetensors"
        ) from error


def _describe(file: Path, description: Description, backbone: Backbone, free: bool) -> None:
    """Write into the file what a user of it has to know."""
    model = onnx.load(file)
    facts = {
        "images": "RGB pixels in [0, 1]; the graph subtracts mean and std itself",
        "image_size": str(backbone.image_size),
        "sides": f"multiples of {backbone.patch_size}" if free else f"{backbone.image_size}",
        "phis_lab": description.phis_lab,
        "origin": json.dumps(description.origin.model_dump()),
        "teachers": json.dumps({name: channels.model_dump() for name, channels in description.teachers.items()}),
        "standardize": "" if description.standardize is None else description.standardize.model_dump_json(),
    }
    onnx.helper.set_model_props(model, facts)
    onnx.save(model, file)


@torch.no_grad()
def _compare(file: Path, flat: _Flat, free: bool) -> None:
    """Hold onnxruntime against torch, at the student's size and, where any is taken, at another one."""
    backbone = flat.student.backbone
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    for images in _trials(backbone, free):
        shown = f"images of {images.shape[2]} x {images.shape[3]} pixels"
        try:
            answers = session.run(list(flat.names), {"images": images.numpy()})
        except Exception as error:  # of onnxruntime's own types, which all derive from this alone
            raise ValueError(
                f"onnxruntime refuses {shown} ({one_line(error)}); export with --to safetensors"
            ) from error
        for name, one, other in zip(flat.names, answers, flat(images), strict=True):
            if not _is_close(one, other.numpy()):
                raise ValueError(
                    f"onnxruntime {onnxruntime.__version__} computes another {name} than torch of {shown}; export with "
                    "--to safetensors"
                )


def _trials(backbone: Backbone, free: bool) -> Sequence[Tensor]:
    side, patch = backbone.image_size, backbone.patch_size
    generator = torch.Generator().manual_seed(1)
    sizes = [(3, side, side)]
    if free:  # one row less and one more column, where there is room for them
        most = backbone.cpe_max_size or side + patch
        sizes.append((1, max(patch, side - patch), min(side + patch, most)))
    return [torch.rand(batch, 3, height, width, generator=generator) for batch, height, width in sizes]


def _is_close(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and bool(np.abs(one - other).max() <= CLOSE * max(1.0, float(np.abs(other).max())))
