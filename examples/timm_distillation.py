"""PHI-S inside timm's feature distillation: the student matches the teacher's features after the normaliser.

Run: python examples/timm_distillation.py [local-dir:FOLDER of phis-lab export --to timm]
"""

import sys

import phis_lab.teachers  # noqa: F401  # isort: skip  lets torchvision be imported beside a CPU build of torch
import timm
import torch
from timm.task import DistillationTeacher, FeatureDistillationTask
from torch import Tensor, nn

from phis_lab import Moments, PhiS

SMALL = {"img_size": 32, "patch_size": 16, "embed_dim": 48, "depth": 2, "num_heads": 3, "num_classes": 5}


class NormalisedTeacher(DistillationTeacher):
    """A teacher of timm whose features are those that PHI-S makes of them."""

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Fit on the teacher's features of some images, with the teacher's own mean and std."""
        features = super().forward(images, return_features=True)
        self.phis = PhiS(features.shape[1]).fit(Moments(features.shape[1]).update(features))

    def forward(self, input: Tensor, return_features: bool = False) -> Tensor:  # noqa: A002  timm's name
        """Answer as timm's task asks it to."""
        answer = super().forward(input, return_features)
        return self.phis(answer) if return_features else answer


def main(name: str | None = None) -> tuple[float, float]:
    """Train a few steps and return the distillation loss at the first and at the last."""
    torch.manual_seed(0)
    student, random = (timm.create_model("vit_tiny_patch16_224", **SMALL) for _ in range(2))
    model = random if name is None else timm.create_model(name, pretrained=True)
    side = model.pretrained_cfg["input_size"][-1] if name else SMALL["img_size"]
    student.set_input_size(img_size=side)
    teacher = NormalisedTeacher(model)
    task = FeatureDistillationTask(student, teacher, nn.CrossEntropyLoss(), task_loss_weight=0.0, verbose=False)
    teacher.fit(teacher.normalize_input(torch.randn(128, 3, side, side), task.student_mean, task.student_std))
    images, labels = torch.randn(32, 3, side, side), torch.zeros(32, dtype=torch.long)
    optimizer, losses = torch.optim.AdamW(task.trainable_module.parameters(), lr=1e-3), []
    for _ in range(30):
        found = task(images, labels)
        optimizer.zero_grad()
        found["loss"].backward()
        optimizer.step()
        losses.append(found["kd_loss"].item())
    sys.stdout.write(f"distillation loss {losses[0]:.3f} at first, {losses[-1]:.3f} at last\n")
    return losses[0], losses[-1]


if __name__ == "__main__":
    main(*sys.argv[1:2])
