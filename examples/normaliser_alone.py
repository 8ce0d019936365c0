"""A fitted normaliser in somebody else's loop: its file and torch are enough, and ten lines.

Run: python examples/normaliser_alone.py
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file
from torch import nn

from phis_lab.normalizers import affine_from_buffers


def train(teacher: nn.Module, student: nn.Linear, file: Path) -> float:
    """Match normalised features with torch alone; return the error in the teacher's own space over its variance."""
    phis = load_file(file)
    weight, shift, back = (phis[name].float() for name in ("weight", "shift", "inverse_weight"))
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-2)
    for _ in range(200):
        x = torch.randn(256, 32)
        loss = (student(x) - (teacher(x) - shift) @ weight.T).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    answer, wanted = student(x) @ back.T + shift, teacher(x)
    return float((answer - wanted).detach().square().mean() / wanted.var())


def main() -> float:
    """Take a map from the buffers of another program's checkpoint, save it, and train with the file."""
    torch.manual_seed(0)
    teacher = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 48)).requires_grad_(False)
    features = teacher(torch.randn(4096, 32))
    checkpoint = {  # as RADIO's holds it
        "feature_normalizer.mean": features.mean(dim=0),
        "feature_normalizer.tx": torch.linalg.qr(torch.randn(48, 48))[0] / features.std(),
    }
    with TemporaryDirectory() as folder:
        file = Path(folder, "normaliser.safetensors")
        affine_from_buffers(*checkpoint.values()).save(file)
        error = train(teacher, nn.Linear(32, 48), file)
    sys.stdout.write(f"error over the teacher's variance {error:.3f}\n")
    return error


if __name__ == "__main__":
    main()
