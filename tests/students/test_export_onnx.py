"""onnxruntime answers as an exported student does in torch."""

import numpy as np
import pytest
import torch
from exported_runs import SIZES, TEACHERS
from exports import answers_of, described, exported
from torch import nn
from torch.testing import assert_close

from phis_lab.formats import Format
from phis_lab.students import LadderHead, MLPHead, Student, ViT
from phis_lab.students.export.onnx import write as write_onnx


@torch.no_grad()
@pytest.mark.parametrize(
    "options",
    [{}, {"class_tokens": "per_teacher", "spectral": True}, {"cpe_max_size": 32}],
    ids=["plain", "per_teacher", "cropped"],
)
def test_onnxruntime_answers_as_torch_at_any_batch_and_size(tmp_path, options):
    folder, own = exported(tmp_path, Format.ONNX, options=options)
    for batch, side in ((1, 16), (3, 24), (2, 32)):
        pixels = torch.rand(batch, 3, side, side)
        found = answers_of(folder / "student.onnx", pixels)
        tokens, predictions = own(pixels, side)
        expected = {"summary": tokens.summary, "spatial": tokens.spatial}
        for name, (summary, spatial) in TEACHERS.items():
            expected |= {f"{name}_summary": predictions[name].summary} if summary else {}
            expected |= {f"{name}_spatial": predictions[name].spatial} if spatial else {}
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert np.abs(found[name] - value.numpy()).max() < 1e-4 * max(1, float(value.abs().max()))
    assert answers_of(folder / "student.onnx", torch.rand(1, 3, 16, 24))["spatial"].shape == (1, 2, 3, 24)


@torch.no_grad()
def test_a_head_that_reads_every_block_is_written_too(tmp_path):
    torch.manual_seed(0)
    own = Student(ViT(**SIZES), LadderHead, TEACHERS).eval()
    write_onnx(tmp_path, own, described(own))
    pixels = torch.rand(2, 3, 24, 24)
    answers = answers_of(tmp_path / "student.onnx", pixels)
    assert_close(torch.from_numpy(answers["sam_spatial"]), own(pixels, 24)[1]["sam"].spatial, atol=1e-4, rtol=1e-4)


class OwnPositions(nn.Module):
    """Positions of a kind that no graph samples."""

    def __init__(self, width):
        super().__init__()
        self.embedding = nn.Parameter(torch.randn(width))

    def forward(self, grid, batch):
        return self.embedding.expand(1, *grid, -1)


def test_a_student_with_positions_of_its_own_is_written_for_its_one_size_and_says_so(tmp_path, caplog):
    torch.manual_seed(0)
    own = Student(ViT(**SIZES), MLPHead, TEACHERS).eval()
    own.backbone.positions = OwnPositions(24)
    write_onnx(tmp_path, own, described(own))
    assert "takes images of 16 x 16 pixels alone" in caplog.text
    pixels = torch.rand(5, 3, 16, 16)
    with torch.no_grad():
        wanted = own(pixels)[0].spatial
    assert_close(torch.from_numpy(answers_of(tmp_path / "student.onnx", pixels)["spatial"]), wanted, atol=1e-4, rtol=0)


def test_what_onnxruntime_computes_otherwise_is_refused(tmp_path, monkeypatch):
    own = Student(ViT(**SIZES), MLPHead, TEACHERS).eval()
    nn.init.normal_(own.backbone.positions.embedding)
    monkeypatch.setattr("phis_lab.students.export.sampled_positions.CUBIC", -0.75)
    with pytest.raises(ValueError, match=r"onnxruntime .* computes another summary than torch of images of 8 x 24"):
        write_onnx(tmp_path, own, described(own))
