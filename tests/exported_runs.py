"""Folders of finished runs whose students are not trained, for tests of what is exported of them."""

import torch
import yaml
from synthetic_records import record
from torch import nn

from phis_lab.engine.arm_checkpoint import save_checkpoint
from phis_lab.linalg import Moments
from phis_lab.normalizers import PhiS, TeacherSpace
from phis_lab.runs import write_record
from phis_lab.students import MLPHead, Student, ViT

TEACHERS = {"clip": (10, 12), "sam": (None, 20), "embedder": (7, None)}
SIZES = {"image_size": 16, "patch_size": 8, "width": 24, "depth": 1, "heads": 2}
CONFIG = {
    "student": {"_target_": "phis_lab.students.ViT", **SIZES},
    "head": {"_target_": "phis_lab.students.MLPHead", "_partial_": True, "hidden": None},
    "normalizer": {"_target_": "phis_lab.normalizers.PhiS", "_partial_": True},
}


def images():
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def of_teacher(dim):
    """Features of a decaying spectrum, 100 times as wide as a student's, around means as large."""
    generator = torch.Generator().manual_seed(dim)
    rows, mixing, means = (
        torch.randn(*size, generator=generator).double() for size in ((400, dim), (dim, dim), (dim,))
    )
    return 100 * (rows * torch.linspace(0, -3, dim).exp() @ torch.linalg.qr(mixing)[0] + means)


def fitted(method, teachers=TEACHERS):
    return {
        name: TeacherSpace(name, method(spatial).fit(Moments(spatial).update(of_teacher(spatial))))
        for name, (_, spatial) in teachers.items()
        if spatial is not None
    }


def student(head=MLPHead, **options):
    torch.manual_seed(0)
    return Student(ViT(**SIZES | options), head, TEACHERS).eval()


def make_run(folder, trained=None, config=CONFIG, **changes):
    """A finished run's folder, whose student is not trained."""
    trained, spaces = trained or student(), fitted(PhiS)
    facts = {
        name: {"source": "x", "sha256": "y"}
        | {kind: dim for kind, dim in zip(("summary_dim", "spatial_dim"), dims, strict=True) if dim is not None}
        for name, dims in TEACHERS.items()
    }
    parts = {"student": trained, "spaces": nn.ModuleDict(spaces), "balancer": nn.Linear(1, 1)}
    modules = nn.ModuleDict(parts).state_dict()
    save_checkpoint(folder, {"config_sha256": "0" * 64, "arm": {"modules": modules}})
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    write_record(folder, record(**{"seed": 3, "teachers": facts} | changes))
    return trained, spaces
