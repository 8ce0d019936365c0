"""Tables beside the paper's, and figures, from numbers at hand."""

import pytest
import torch
from drawn_figures import check_print

from phis_lab.commands.page import teacher_statistics
from phis_lab.survey.passes import Collected
from phis_lab.survey.plots import figures
from phis_lab.survey.statistics import Statistics, write_statistics
from phis_lab.survey.summary import summarise
from phis_lab.survey.topics import paper_numbers, sheets


def statistics_of(teacher, size="56", grid=2, seed=0, channels=8):
    generator = torch.Generator().manual_seed(seed)
    collected = Collected((grid, grid), channels)
    collected.update(torch.randn(60, grid, grid, channels, generator=generator) * torch.arange(channels))
    facts = {"teacher": teacher, "image_size": size, "sha256": "ab" * 32, "layer": "last", "data": "cd" * 32}
    collected.moments.provenance = facts | {"precision": "float32", "grid": f"{grid}x{grid}"}
    return summarise(collected, "hub")


@pytest.fixture(scope="module")
def small():
    return statistics_of("sam_h")


def grown(found, channels):
    """The same with so many eigenvalues: a teacher's width is their number."""
    spectrum = found.spectrum.model_copy(update={"eigenvalues": (1.0,) * channels})
    return found.model_copy(update={"spectrum": spectrum})


def test_a_teacher_of_the_paper_stands_above_the_papers_row(small):
    tables = {sheet.title[-2]: sheet for sheet in sheets(Statistics(teachers={"k": grown(small, 1280)}))[:4]}
    rows = {number: [cell.text for cell in table.rows[1]] for number, table in tables.items()}
    assert rows["7"] == ["SAM, paper", "–", "–", "-62.03", "19.17", "2.695", "31.61", "1.147", "5.469"]
    assert rows["8"] == ["SAM, paper", "–", "–", "0.19", "0.21", "–"]
    assert rows["6"] == ["SAM, paper", "–", "–", "1280", "776.3", "–", "–", "–"]
    assert rows["9"] == ["SAM, paper", "–", "–", "0.0226", "0", "0.1128", "0", "–", "–"]
    for table in tables.values():
        assert "ImageNet" in table.caption
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_another_width_or_random_weights_are_not_the_papers_teacher(small):
    assert paper_numbers("table7", small) is None
    random = grown(small, 1280).model_copy(update={"source": "random initialisation"})
    assert paper_numbers("table7", random) is None
    assert paper_numbers("table7", grown(statistics_of("xfeat"), 1280)) is None


def test_every_teacher_of_the_paper_has_its_rows():
    for name, channels, row in (
        ("dfn_clip", 1280, 1081.69),
        ("siglip", 1152, 910.97),
        ("dinov2_g", 1536, 1342.55),
        ("sam_h", 1280, 776.28),
    ):
        found = grown(statistics_of(name), channels)
        assert paper_numbers("table6", found)[1] == (channels, row)
        assert all(paper_numbers(f"table{number}", found) is not None for number in (7, 8, 9))


@pytest.mark.parametrize("several", [False, True])
def test_figures_are_fit_for_print(several):
    teachers = {name: statistics_of(name, seed=i) for i, name in enumerate(("efficientnet_lite0", "mobilenetv2"))}
    if several:
        teachers |= {
            f"{name}-{grid}": statistics_of(name, size=str(112 * grid), grid=grid, channels=12)
            for name in ("efficientnet_lite0", "xfeat")
            for grid in (3, 4)
        }
    for figure in figures(Statistics(teachers=teachers)).values():
        check_print(figure)


def test_a_teacher_at_several_sizes_is_told_apart():
    teachers = {f"x-{grid}": statistics_of("xfeat", grid=grid) for grid in (2, 3)} | {"s": statistics_of("sam_h")}
    drawn = figures(Statistics(teachers=teachers))
    titles = [axes.get_title("left") for axes in drawn["norms"].axes]
    assert titles == ["xfeat\n56 px, 2x2", "xfeat\n56 px, 3x3", "sam_h"]
    legend = [text.get_text() for text in drawn["spectra"].legends[0].get_texts()]
    assert legend == ["xfeat, 56 px, 2x2", "xfeat, 56 px, 3x3", "sam_h"]


def test_norms_share_one_axis():
    teachers = {name: statistics_of(name, seed=i, channels=4 + 20 * i) for i, name in enumerate("ab")}
    limits = {axes.get_xlim() for axes in figures(Statistics(teachers=teachers))["norms"].axes}
    assert len(limits) == 1
    low, high = limits.pop()
    assert low < 1 < max(of.norms.threshold / of.norms.median for of in teachers.values()) < high


def test_newer_numbers_take_the_place_of_the_same_and_join_their_teacher():
    a, b, c = statistics_of("a"), statistics_of("b"), statistics_of("a", grid=3)
    joined = Statistics(teachers={"a2": a, "b2": b}).joined(Statistics(teachers={"a3": c, "b2": a}))
    assert list(joined.teachers) == ["a2", "a3", "b2"] or list(joined.teachers) == ["a2", "b2", "a3"]
    assert joined.teachers["b2"] == a


def test_the_page_of_a_report_shows_them(small, tmp_path):
    (tmp_path / "teachers").mkdir()
    found = Statistics(teachers={"k": small})
    write_statistics(tmp_path / "teachers", found)
    (chapter,) = teacher_statistics(tmp_path)
    assert [table.sheet.title for table in chapter.tables] == [sheet.title for sheet in sheets(found)]
    assert [picture.title for picture in chapter.pictures] == ["Activations", "Spectra", "Norms"]
