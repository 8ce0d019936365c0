import numpy as np
import pytest
from drawn_figures import check_print
from matplotlib.image import imread

from phis_lab.figures.drawing import SYNTHETIC, draw, write_figure
from phis_lab.figures.errors import radius_against_angle


@pytest.mark.parametrize("name", sorted(SYNTHETIC))
def test_it_can_be_printed(name):
    check_print(SYNTHETIC[name]())


def test_figure_4_has_twelve_panels_and_figure_5_twelve():
    assert [len(SYNTHETIC[name]().axes) for name in ("figure4_rotated", "figure5_gallery")] == [12, 12]


def test_the_radius_of_six_methods_is_drawn_and_phis_is_flat_at_the_papers_number():
    (axes,) = radius_against_angle().axes
    curves = {line.get_label(): line.get_ydata() for line in axes.lines}
    assert len(curves) == 6
    assert curves["PHI-S"] == pytest.approx(1.400892, abs=1e-6)


def test_a_figure_is_written_at_200_dots_per_inch_and_as_the_same_svg_every_time(tmp_path):
    for attempt in ("first", "second"):
        write_figure(radius_against_angle(), tmp_path / attempt, ("png", "svg"))
    assert imread(tmp_path / "first.png").shape[1] == 7.2 * 200
    assert len(np.unique(imread(tmp_path / "first.png").sum(axis=-1))) > 100
    first, second = ((tmp_path / f"{name}.svg").read_text() for name in ("first", "second"))
    assert first.replace("first", "") == second.replace("second", "")


def test_without_a_run_the_synthetic_figures_are_drawn(tmp_path):
    made = draw(None, tmp_path / "figures", formats=("png",))
    assert [path.stem for path in made.files] == sorted(SYNTHETIC)
    assert all(path.exists() for path in made.files)
    assert made.left_out == []


def test_a_folder_without_a_finished_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no finished run"):
        draw(tmp_path, tmp_path / "figures")
    assert not (tmp_path / "figures").exists()
