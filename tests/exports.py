"""Exports of finished runs in every format, for tests of them."""

import onnxruntime
import torch
from exported_runs import CONFIG, TEACHERS, make_run, student
from torch.testing import assert_close
from typer.testing import CliRunner

from phis_lab import load_student
from phis_lab.cli import app
from phis_lab.commands.export import export_run
from phis_lab.students.export_folder import Channels, Description, Origin

DATA = {
    "data": {"_target_": "phis_lab.data.digits.Digits", "batch_size": 64, "seed": 0, "workers": 0},
    "augmentation": {"_target_": "phis_lab.data.Augmentation", "image_size": 16, "views": 1},
}


def exported(tmp_path, *formats, options=None, config=CONFIG, **more):
    """The folder of an export, and what the package itself loads of the same run."""
    options = options or {}
    make_run(tmp_path / "run", student(**options), config | {"student": config["student"] | options})
    export_run(tmp_path / "run", tmp_path / "out", formats=formats, **more)
    export_run(tmp_path / "run", tmp_path / "own", **{k: v for k, v in more.items() if k == "standardize_images"})
    return tmp_path / "out", load_student(tmp_path / "own")


def invoke(*arguments):
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


@torch.no_grad()
def assert_same_tokens(model, own, side, tolerance=1e-5):
    pixels = torch.rand(3, 3, side, side, generator=torch.Generator().manual_seed(1))
    mean, std = (torch.tensor(model.pretrained_cfg[name]).view(3, 1, 1) for name in ("mean", "std"))
    tokens = model.forward_features((pixels - mean) / std)
    expected = own.backbone(pixels, side)
    assert_close(tokens[:, 0], expected.summary, atol=tolerance, rtol=tolerance)
    spatial = tokens[:, model.num_prefix_tokens :].unflatten(1, expected.spatial.shape[1:3])
    assert_close(spatial, expected.spatial, atol=tolerance, rtol=tolerance)


def described(student):
    """What the writers are told of a student that no run trained."""
    return Description(
        phis_lab="1",
        backbone={},
        head={},
        teachers={name: Channels(summary=summary, spatial=spatial) for name, (summary, spatial) in TEACHERS.items()},
        image_size=student.backbone.image_size,
        origin=Origin(study="s", method="m", seed=0, commit="c", config_sha256="0"),
    )


def answers_of(file, pixels):
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"images": pixels.numpy()}), strict=True))
