"""What is no tensor is refused in a sentence at every door of the library."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from phis_lab.guards import require_tensors, whole

ROOT = Path(__file__).parents[1]

SCRIPT = """
import torch
from phis_lab import evals, linalg, losses, metrics, normalizers, teachers
from phis_lab.features import Features, match_grid

x = torch.randn(32, 8)
n, labels = x.numpy(), torch.arange(32) % 2
moments = linalg.Moments(8).update(x)
phis, means = normalizers.PhiS(8).fit(moments), normalizers.Standardize(8).fit(moments)
DOORS = {
    "torch.from_numpy": [
        lambda: linalg.Moments(8).update(n), lambda: linalg.Moments(8).update(n.tolist()), lambda: phis(n),
        lambda: phis.inverse(n), lambda: means(n.tolist()), lambda: means.inverse(n), lambda: phis(n.tolist()),
        lambda: normalizers.EMAStandardize(8)(n), lambda: normalizers.BatchStandardize(8)(n),
        lambda: normalizers.TeacherInTheMiddle(8, 4)(n), lambda: losses.mse(x, n), lambda: losses.mse([1.0], [2.0]),
        lambda: losses.cosine(n, n), lambda: losses.smooth_l1(n, x), lambda: losses.unic(n, None, n, None),
        lambda: losses.MSE()(Features(n, None), Features(n, None)), lambda: losses.angular_dispersion(n),
        lambda: losses.vmf_sne(n[None], n[None], (0.1,)), lambda: losses.specmatch(n[None], n[None]),
        lambda: losses.Uniform()(n), lambda: losses.AdaLoss()(n.tolist()), lambda: metrics.effective_rank(n),
        lambda: metrics.linear_cka(n, n), lambda: metrics.error_spectrum(x, n),
        lambda: metrics.TeacherMatching(8).update(n, n), lambda: metrics.CrossMoments(8, 8, x.device).update(n, n),
        lambda: evals.knn_predict(n, labels.numpy(), n), lambda: evals.knn_predict(x, labels.tolist(), x),
        lambda: evals.nearest_neighbours(n, n, 3), lambda: evals.linear_probe(x, labels.numpy(), x, labels),
        lambda: evals.fit_logistic(n, labels, [1.0]), lambda: evals.teacher_matching(n, n),
        lambda: linalg.equal_diagonal_rotation([1.0, 2.0]), lambda: linalg.precise_linear(n, n),
        lambda: linalg.Histograms(torch.zeros(8), torch.ones(8), 4).update(n),
        lambda: match_grid(n.reshape(1, 4, 8, 8), (2, 2)),
    ],
    "Moments(8).update(features)": [
        lambda: normalizers.PhiS(8).fit(x), lambda: normalizers.Standardize(8).fit(n),
        lambda: normalizers.PhiS(8).fit(None), lambda: normalizers.PhiS(8).fit(phis),
    ],
    "whole number": [
        lambda: linalg.Moments("8"), lambda: normalizers.PhiS(8.0), lambda: linalg.hadamard_matrix(8.0),
        lambda: linalg.is_hadamard_order("8"),
    ],
    "real numbers": [lambda: linalg.Moments(8).update(x > 0), lambda: phis(x.to(torch.complex64))],
    "8 channels": [lambda: linalg.Moments(8).update(torch.tensor(1.0)), lambda: phis(x[:, :4]), lambda: means(x[0, 0])],
    "sizes do not agree": [
        lambda: evals.knn_predict(x, labels[:, None], x), lambda: evals.knn_predict(x[0], labels, x),
        lambda: evals.linear_probe(x[0], labels[:8], x, labels),
    ],
    "rows go into update": [lambda: linalg.Moments(8).merge(x)],
    "mask must be a tensor of shape (32,)": [lambda: linalg.Moments(8).update(x, labels.numpy() > 0)],
    "torch.nn.Linear": [lambda: phis.fold_into(n), lambda: phis.fold_into(torch.nn.Conv2d(3, 8, 1))],
}
for sentence, doors in DOORS.items():
    for number, door in enumerate(doors):
        try:
            door()
        except (TypeError, ValueError) as error:
            assert sentence in str(error), (sentence, number, error)
        else:
            raise AssertionError((sentence, number))
for whole in (linalg.Moments(8).update((10 * x).long()), normalizers.PhiS(torch.tensor(8))):
    assert whole.dim == 8
"""


def test_arrays_lists_and_wrong_shapes_are_refused_in_a_sentence_where_nothing_checks_annotations():
    done = subprocess.run([sys.executable, "-c", SCRIPT], check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_is_left_out_and_integers_are_let_through():
    require_tensors(x=torch.arange(3), bias=None)
    assert whole("dim", torch.tensor(4)) == 4


@pytest.mark.parametrize("value", [4.0, "4", None, torch.tensor(4.0)])
def test_a_size_is_a_whole_number(value):
    with pytest.raises(TypeError, match="dim must be a whole number, got"):
        whole("dim", value)
