import struct
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from synthetic_records import TEACHERS, percent, rank, record, write_study

from phis_lab.reports import Section, group_studies, measurements, report, summary
from phis_lab.reports.markup import escape_latex, latex, markdown, terminal
from phis_lab.reports.sheets import Cell, Sheet
from phis_lab.reports.style import looks
from phis_lab.runs import RunProgress, write_progress
from phis_lab.runs.record import Metric
from phis_lab.spoken import decimals, spoken, with_spread


def three_methods(seeds=3):
    rng = np.random.default_rng(0)
    gains = {"standardize": 0.7, "phis": 1.0, "identity": 0.0}
    return [record(m, s, g + 0.1 * rng.normal()) for m, g in gains.items() for s in range(seeds)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("outputs")
    write_study(root, three_methods())
    write_study(root, [record("pca_whiten", 0, status="failed", failure="loss is NaN at step 312")])
    (root / "zca_whiten" / "seed0").mkdir(parents=True)
    (root / "zca_whiten" / "seed0" / "config.yaml").touch()
    return root


@pytest.fixture(scope="module")
def made(folder):
    return report(folder)


def test_summary_is_numpys_mean_and_sample_deviation():
    records = three_methods()
    frame = summary(measurements(records)).set_index(["method", "metric"])
    values = [r.teacher_metrics["xfeat"]["spatial"]["mse"] for r in records if r.method == "phis"]
    row = frame.loc[("phis", "xfeat/spatial/mse")]
    assert (row["mean"], row["std"], row["seeds"]) == pytest.approx((np.mean(values), np.std(values, ddof=1), 3))


def test_the_report_is_written_beside_the_runs(folder, made):
    names = ["report.md", "report.tex", "report.csv"]
    figures = [f"figures/{name}.png" for name in ("values", "losses", "differences", "critical_difference")]
    assert [path.relative_to(folder).as_posix() for path in made.files] == names + figures
    assert all(path.exists() for path in made.files)


def test_the_baseline_comes_first_and_the_best_is_bold(folder, made):
    text = (folder / "report.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0] for row in rows[2:5]] == ["| identity", "| phis", "| standardize"]
    assert [row.count("**") for row in rows[2:6]] == [0, 2 * 6, 0, 0]
    assert rows[5].startswith("| (floor) | – | – | 1.0")


def test_markdown_says_where_the_numbers_come_from(folder, made):
    text = (folder / "report.md").read_text()
    facts = ["python run.py -m sweep=pocket_methods", "1234abcd", "cifar10", *TEACHERS, "0, 1, 2"]
    facts += ["sample standard deviation", "95 % t interval", "2,000 steps"]
    for fact in facts:
        assert fact in text


def test_failed_runs_are_listed_with_the_reason(folder, made):
    assert made.remarks == ("failed: pocket_methods, pca_whiten, seed 0: loss is NaN at step 312",)
    assert all(remark in (folder / "report.md").read_text() for remark in made.remarks)


def test_unfinished_runs_stand_in_a_table_of_their_own(folder, made):
    (silent,) = made.unfinished.rows
    assert [cell.text for cell in silent] == ["zca_whiten/seed0", *["–"] * 5, "never"]
    assert r"| zca\_whiten/seed0 |" in (folder / "report.md").read_text()


def test_a_report_of_runs_under_way_says_how_far_they_are(tmp_path):
    run = tmp_path / "phis" / "seed3"
    run.mkdir(parents=True)
    (run / "config.yaml").touch()
    progress = RunProgress(
        name="pocket", method="phis", seed=3, step=120, max_steps=1000, images_per_s=310.4, loss=0.51234,
        scored_at=100, metrics={"knn/accuracy": 0.7125}, updated=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )  # fmt: skip
    write_progress(run, progress)
    made = report(tmp_path)
    assert made.sections == ()
    assert [cell.text for cell in made.unfinished.rows[0]] == [
        "phis", "3", "120 of 1,000", "0.5123", "knn/accuracy 71.2% (step 100)", "310", "2026-01-02 03:04:05",
    ]  # fmt: skip
    assert "120 of 1,000" in (tmp_path / "report.md").read_text()


def test_csv_holds_every_mean_at_full_precision(folder, made):
    frame = pd.read_csv(folder / "report.csv").set_index(["method", "metric"])
    expected = summary(made.sections[0].numbers).set_index(["method", "metric"])
    pd.testing.assert_frame_equal(frame[["mean", "std", "seeds"]], expected, check_exact=True)
    assert not frame.loc[("phis", "xfeat/spatial/mse"), "higher_is_better"]
    assert frame.loc[("phis", "xfeat/spatial/fidelity"), "floor"] == 1
    ranked = set(frame.index[frame["ranked"]].get_level_values("metric"))
    assert ranked == {"knn/accuracy", "linear_probe/accuracy", *(f"{name}/spatial/fidelity" for name in TEACHERS)}
    leading = frame.index[frame["leads"]].get_level_values("method")
    assert set(leading) == {"phis"}


def test_a_metric_without_a_better_is_shown_and_nothing_else(folder, made):
    (section,) = made.sections
    name = "effective_rank/summary"
    titles = {
        sheet.title: any("effective rank" in column for column in sheet.columns)
        for sheet in [*section.sheets(), *section.details()]
    }
    assert [title for title, shown in titles.items() if shown] == ["Described, not judged"]
    (described,) = [sheet for sheet in section.details() if sheet.title == "Described, not judged"]
    assert described.columns == ("method", "effective rank spatial (rank)", "effective rank summary (rank)")
    assert not any(cell.strong for row in described.rows for cell in row)
    headline = [column.metric for column in section.headline]
    assert name not in {*section.paired["metric"], *section.evidence.cube.metrics, *headline}
    assert list(section.ranks.columns) == ["teachers", "classification", "Avg"]
    csv = pd.read_csv(folder / "report.csv").set_index(["method", "metric"])
    assert pd.isna(csv.loc[("phis", name), "higher_is_better"])
    assert csv.loc[("phis", name), "mean"] == pytest.approx(97.3, abs=1)


def test_details_of_a_task_stand_in_a_table_of_their_own_and_are_not_ranked(tmp_path):
    metrics = {
        "ood/near": percent(70.0),
        "ood/far": Metric(value=10.0, unit="%", higher_is_better=False, detail=True),
    }
    records = [record(m, s, metrics=metrics) for m in ("identity", "phis") for s in range(2)]
    (section,) = report(write_study(tmp_path, records)).sections
    assert "ood/near" in [column.metric for column in section.headline]
    assert "ood/far" not in {
        *section.paired["metric"],
        *section.evidence.cube.metrics,
        *(c.metric for c in section.headline),
    }
    (detail,) = [sheet for sheet in section.details() if sheet.title == "Ood in detail"]
    assert detail.columns == ("method", "far (%) ↓")


def test_records_with_nothing_to_judge_have_no_ranks_and_no_comparison(tmp_path):
    described = {"metrics": {"effective_rank/summary": rank(9.0)}, "teacher_metrics": {}, "history": []}
    made = report(write_study(tmp_path, [record(m, s, **described) for m in ("identity", "phis") for s in range(2)]))
    (section,) = made.sections
    assert section.ranks is None
    assert section.paired.empty
    assert [sheet.title for sheet in section.details()] == ["Described, not judged"]
    assert section.details()[0].seeds == "2 seeds per method."
    assert section.details()[0].rows[0][1].text == "9.000±0.000"
    assert section.figures() == {}


def test_each_teachers_matching_has_a_table_of_its_own_with_short_headings(made):
    sheets = {s.title: s for s in made.sections[0].details() if s.title.startswith("Teacher matching in detail: ")}
    places = ["efficientnet_lite0", "efficientnet_lite0, summary", "mobilenetv2", "mobilenetv2, summary", *TEACHERS[2:]]
    assert [title.partition(": ")[2] for title in sheets] == places
    sheet = sheets["Teacher matching in detail: xfeat"]
    assert sheet.columns == (
        "method", "mse ↓", "fidelity ↑", "fidelity global ↑", "cosine ↑", "error variance range ↓",
        "error variance range normalized ↓", "cka ↑", "cka unbiased ↑", "unexplained first half ↓",
        "unexplained last tenth ↓",
    )  # fmt: skip
    best = [cell.strong for cell in sheet.rows[1]]
    assert sheet.rows[1][0].text == "phis"
    assert best == [False, *[True] * 5, False, *[True] * 3, False]
    assert "Not ranked and not compared: xfeat unexplained last tenth ↓." in sheet.caption


def test_figures_are_images_of_a_page_width_with_many_colours(made):
    for path in made.files[3:]:
        assert struct.unpack(">I", path.read_bytes()[16:20])[0] == 7.2 * 200
        assert len(np.unique(imread(path).sum(axis=-1))) > 100


def test_one_seed_has_no_spread_and_says_that_it_has_no_interval(tmp_path):
    made = report(write_study(tmp_path, three_methods(seeds=1)), formats=["md"])
    text = (tmp_path / "report.md").read_text()
    assert "One seed: no interval." in text
    assert "one seed: no spread, no interval" in text
    (main, differences, _) = made.sections[0].sheets()
    everything = [*made.sections[0].sheets(), *made.sections[0].details()]
    assert not any("±" in cell.text for sheet in (main, differences) for row in sheet.rows for cell in row)
    assert not any(cell.strong for sheet in everything for row in sheet.rows for cell in row)
    assert "**" not in text
    assert "differences" not in made.sections[0].figures()


def test_different_teachers_go_into_separate_tables_and_figures(tmp_path):
    write_study(tmp_path, [*three_methods(1), *(record("phis", s, steps=500) for s in range(2))])
    made = report(tmp_path)
    assert [len(section.methods) for section in made.sections] == [3, 1]
    assert any("no method 'identity'" in remark for remark in made.remarks)
    assert (tmp_path / "figures" / "study2_values.png").exists()


def test_a_metric_that_some_method_lacks_is_shown_but_not_ranked(tmp_path):
    extra = {"ood/auroc": percent(97.0)}
    records = [record("identity"), record("phis", metrics=record("phis").metrics | extra)]
    report(write_study(tmp_path, records), formats=["md"])
    text = (tmp_path / "report.md").read_text()
    assert "Not every method has ood/auroc: these metrics are not ranked." in text
    section = Section(group_studies(records)[0], "identity")
    assert section.ranks is not None
    assert list(section.ranks.columns) == ["teachers", "classification", "Avg"]
    assert section.sheets()[0].rows[0][3].text == "–"


def test_what_weakens_a_comparison_is_said(tmp_path):
    records = [record("identity", 0), record("identity", 1), record("phis", 0, commit="5678+dirty")]
    report(write_study(tmp_path, [*records, record("mse", 0, corrupt_images=3)]), formats=["md"])
    text = (tmp_path / "report.md").read_text()
    for caveat in ("same seeds", "2 different commits", "uncommitted changes", "3 corrupt images were left out"):
        assert caveat in text


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nothing to report"):
        report(tmp_path)


def test_an_unknown_baseline_lists_the_methods(tmp_path):
    with pytest.raises(ValueError, match=r"'phi'.*\['phis'\]"):
        report(write_study(tmp_path, [record()]), baseline="phi")


def test_records_that_disagree_on_a_direction_are_refused(tmp_path):
    turned = {"knn/accuracy": percent(1.0).model_copy(update={"higher_is_better": False})}
    with pytest.raises(ValueError, match="knn/accuracy is recorded as"):
        report(write_study(tmp_path, [record("identity"), record("phis", metrics=turned)]))


def test_digits_follow_the_spread():
    assert decimals([61.24, 62.1], [0.41, 0.35]) == 1
    assert decimals([61.24, 62.1], [float("nan")] * 2) == 2
    assert decimals([4.7e-4], [float("nan")]) == 7
    assert with_spread(61.24, 0.41, 1) == "61.2±0.4"
    assert with_spread(61.24, float("nan"), 2, sign="+") == "+61.24"


def test_fractions_are_shown_in_percent():
    fraction = {"knn/accuracy": percent(0.612).model_copy(update={"unit": "fraction"})}
    section = Section(group_studies([record(metrics=fraction)])[0], None)
    assert section.sheets()[0].columns[1] == "knn accuracy (%) ↑"
    assert section.sheets()[0].rows[0][1].text == "61.20"


def test_special_characters_survive_every_format():
    sheet = Sheet("50 % & more", "a_b", ("method", "x (%) ↑"), ((Cell("a|b_c"), Cell("-1±2", strong=True)),))
    assert r"| a\|b\_c | **-1±2** |" in markdown(sheet)
    assert r"a|b\_c & \textbf{$-$1$\pm$2} \\" in latex(sheet)
    assert r"\caption{50 \% \& more. a\_b}" in latex(sheet)
    assert escape_latex("\\{}") == r"\textbackslash{}\{\}"
    assert [str(cell) for cell in terminal(sheet).columns[0].cells] == ["a|b_c"]


def test_many_methods_all_look_different():
    drawn = looks([f"method{i}" for i in range(19)])
    assert len({(look.color, str(look.linestyle)) for look in drawn.values()}) == 19


@pytest.mark.parametrize(
    ("value", "spread", "places", "text"),
    [
        (5.238e-9, float("nan"), 12, "5.24e-09"),
        (5.238e-9, float("nan"), 3, "5.24e-09"),
        (5.238e-9, 1.2e-10, 3, "5.24e-09±1.20e-10"),
        (0.00001, 0.4, 1, "0.0±0.4"),
        (-0.00001, 0.4, 1, "0.0±0.4"),
        (-0.0, float("nan"), 2, "0.00"),
        (0.01234, 0.0004, 1, "0.0123±0.0004"),
        (123_456.0, float("nan"), 0, "123456"),
        (-1.234e9, float("nan"), 0, "-1.23e+09"),
        (float("nan"), float("nan"), 2, "nan"),
        (float("inf"), float("nan"), 2, "inf"),
    ],
)
def test_a_number_far_from_one_has_an_exponent_and_zero_has_no_sign(value, spread, places, text):
    assert with_spread(value, spread, places) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.6124, "fraction", "61.2%"),
        (-1e-9, "fraction", "0.0%"),
        (12.3456, "", "12.35"),
        (5.238e-9, "", "5.24e-09"),
        (-0.0, "", "0"),
        (4.7e8, "rank", "4.70e+08"),
        (float("nan"), "", "nan"),
        (float("-inf"), "", "-inf"),
    ],
)
def test_a_number_in_a_log_line_has_its_unit_and_the_digits_that_are_worth_reading(value, unit, text):
    assert spoken(value, unit) == text


def test_names_with_dollars_and_long_ones_are_drawn_as_they_are():
    long = "phis, " + "a long option, " * 20
    names = ["identity", "$x_{$ for $5", long]
    section = Section(group_studies([record(name, seed, history=[]) for name in names for seed in (0, 1)])[0], None)
    figure = section.figures()["values"]
    figure.canvas.draw()
    drawn = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert drawn[:2] == ["$x_{$ for $5", "identity"]
    assert len(drawn[2]) < 40
    assert drawn[2].startswith("phis, a long option")
