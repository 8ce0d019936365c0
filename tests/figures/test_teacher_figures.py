"""Figures 1, 2, 3 and 9 from data at hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from drawn_figures import check_print
from sklearn.decomposition import PCA

from phis_lab.figures.activations import GLOBAL, Activations, activation_histograms, extreme_channels
from phis_lab.figures.teacher_spaces import principal_plane, teacher_spaces
from phis_lab.figures.training import largest_loss_channel, loss_distributions, teacher_errors
from phis_lab.linalg import Moments
from phis_lab.normalizers import PhiS
from phis_lab.reports.style import looks

CURVES = (GLOBAL, "lowest mean", "highest mean", "smallest variance", "largest variance")
SCALES = {"dfn_clip": 0.03, "siglip": 1.8, "dinov2": 1.3, "sam": 5.5}


def features(scale=1.0, channels=8, count=500, seed=0):
    generator = torch.Generator().manual_seed(seed)
    spectrum = scale * torch.arange(1, channels + 1) ** -0.5
    rotation, _ = torch.linalg.qr(torch.randn(channels, channels, generator=generator))
    return (torch.randn(count, channels, generator=generator) * spectrum) @ rotation + scale * 0.3


def four_teachers():
    return {name: features(scale, channels=8 + 4 * i, seed=i) for i, (name, scale) in enumerate(SCALES.items())}


def reach(axes):
    """Largest distance from the centre of each teacher's points, in the order drawn."""
    return [np.hypot(*line.get_xydata().T).max() for line in axes.lines]


def test_the_principal_plane_is_scikit_learns_up_to_sign():
    tokens = features()
    found, expected = principal_plane(tokens).numpy(), PCA(2).fit_transform(tokens.double().numpy())
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-9)


def test_a_quiet_teacher_is_a_dot_beside_a_loud_one_until_phis_balances_them():
    samples = four_teachers()
    fitted = {name: PhiS(x.shape[1]).fit(Moments(x.shape[1]).update(x)) for name, x in samples.items()}
    figure = teacher_spaces(samples, fitted)
    before, _, after = figure.axes
    assert min(reach(before)) < 0.01 * max(reach(before))
    assert min(reach(after)) > 0.3 * max(reach(after))
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [label.split(",")[0] for label in labels] == list(SCALES)
    check_print(figure)


def test_extreme_channels_are_those_of_numpy():
    x = features()
    found = extreme_channels(Moments(8).update(x))
    mean, variance = x.numpy().mean(axis=0), x.numpy().var(axis=0)
    assert list(found.values()) == [mean.argmin(), mean.argmax(), variance.argmin(), variance.argmax()]


def test_activations_of_all_channels_are_numpys_histogram_at_five_deviations():
    x = features(count=4000).double()
    counted = Activations(Moments(8).update(x))
    for part in x.split(700):
        counted.update(part.reshape(-1, 2, 2, 8) if len(part) % 4 == 0 else part)
    curve = counted.curves()[GLOBAL]
    mean, std = x.mean(), x.var(correction=0).sqrt()
    expected, edges = np.histogram(x.numpy(), bins=100, range=(float(mean - 5 * std), float(mean + 5 * std)))
    np.testing.assert_allclose(curve.edges.numpy(), edges, rtol=1e-3, atol=1e-3)
    areas = curve.density * curve.edges.diff()
    np.testing.assert_allclose(areas.numpy(), expected / x.numel(), atol=2e-3)


def test_a_panel_shows_all_channels_and_the_four_extreme_ones():
    teachers = {}
    for name, x in four_teachers().items():
        teachers[name] = Activations(Moments(x.shape[1]).update(x))
        teachers[name].update(x)
    figure = activation_histograms(teachers)
    assert [axes.get_title("left") for axes in figure.axes] == list(SCALES)
    for axes in figure.axes:
        assert [line.get_label() for line in axes.lines if not line.get_label().startswith("_")] == list(CURVES)
    check_print(figure)


def test_a_dead_channel_is_a_dot():
    x = features()
    x[:, 3] = 0.0
    counted = Activations(Moments(8).update(x))
    counted.update(x)
    (axes,) = activation_histograms({"teacher": counted}).axes
    dots = [line.get_xydata() for line in axes.lines if line.get_label().startswith("_")]
    assert counted.channels["smallest variance"] == 3
    bin_width = float(counted.all.high[0] - counted.all.low[0]) / 100
    ((place, density),) = dots[3].tolist()
    assert abs(place) <= 0.51 * bin_width
    assert density == pytest.approx(1 / bin_width)


def history(methods, steps=(10, 20, 30)):
    rows = [
        (method, seed, teacher, step, scale**2 / step * (1 + 0.1 * seed) * (1 + i))
        for i, method in enumerate(methods)
        for seed in (0, 1)
        for teacher, scale in SCALES.items()
        for step in steps
    ]
    return pd.DataFrame(rows, columns=["method", "seed", "teacher", "step", "value"])


def test_teacher_errors_are_means_over_seeds_in_the_teachers_own_unit():
    methods = [f"method {i}" for i in range(12)]
    figure = teacher_errors(history(methods), looks(methods))
    assert [axes.get_title("left") for axes in figure.axes] == list(SCALES)
    for axes, scale in zip(figure.axes, SCALES.values(), strict=True):
        assert [line.get_label() for line in axes.lines] == methods
        expected = 1.05 * scale**2 / np.array([10, 20, 30])
        np.testing.assert_allclose(axes.lines[0].get_ydata(), expected)
    check_print(figure)


def lognormal(shift, channels=6, loud=None):
    losses = torch.exp(torch.randn(200, channels, generator=torch.Generator().manual_seed(0)) * 0.3 + shift)
    if loud is not None:
        losses[:, loud] *= 50
    return losses


def test_the_channel_with_the_largest_loss_need_not_have_the_largest_mean():
    losses = torch.ones(10, 3)
    losses[:, 1] = 2.0
    losses[4, 2] = 9.0
    assert largest_loss_channel(losses) == 2


def test_losses_share_one_axis_that_holds_the_largest():
    losses = {
        "identity": {"quiet": lognormal(-7.0), "loud": lognormal(3.0, loud=2)},
        "phis": {"quiet": lognormal(-0.7), "loud": lognormal(-0.7)},
    }
    figure = loss_distributions(losses)
    assert len(figure.axes) == 4
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    low, high = figure.axes[0].get_xlim()
    assert low <= float(losses["identity"]["quiet"].quantile(0.01))
    assert high >= float(losses["identity"]["loud"].max())
    check_print(figure)


def test_twelve_methods_and_four_teachers_fit_a_page():
    methods = [f"method {i}" for i in range(12)]
    check_print(loss_distributions({method: {name: lognormal(0.0) for name in SCALES} for method in methods}))


def test_losses_without_a_place_on_the_axis_are_refused():
    with pytest.raises(ValueError, match="no distribution to draw"):
        loss_distributions({"identity": {"loud": torch.zeros(4, 3)}})
