import pytest
from synthetic_records import percent, record

from phis_lab.reports import Section, Study, group_studies
from phis_lab.reports.markup import latex, markdown, terminal

GAINS = {"identity": 0.0, "phis": 1.0, "standardize": 0.7, "center_scale": 1.0}


def section(gains=GAINS, seeds=4, baseline="identity", **changes):
    """The methods in the order of `gains`; standardize is good with even seeds only."""
    records = [
        record(method, seed, gain * (seed % 2 == 0 if method == "standardize" else 1 + 0.01 * seed), **changes)
        for method, gain in gains.items()
        for seed in range(seeds)
    ]
    return Section(group_studies(records)[0], baseline)


def sheet(part, title):
    """The only table of this title; the details, which take nine tenths of the time, are made where it is none else."""
    (found,) = titled(part.sheets(), title) or titled(part.details(), title)
    return found


def titled(sheets, title):
    return [sheet for sheet in sheets if sheet.title.startswith(title)]


def texts(part, title):
    return {row[0].text: [cell.text for cell in row[1:]] for row in sheet(part, title).rows}


def test_the_verdict_counts_metrics_won_undecided_and_lost():
    rows = texts(section(), "What the seeds support")
    assert rows["phis"][:3] == ["6", "0", "0"]
    assert rows["standardize"][:3] == ["0", "6", "0"]
    assert rows["identity"][:3] == ["–", "–", "–"]
    assert texts(section(baseline="phis"), "What the seeds support")["identity"][:3] == ["0", "0", "6"]


def test_a_rise_is_a_loss_where_lower_is_better():
    def falling(error):
        return {"ood/fpr": percent(error).model_copy(update={"higher_is_better": False})}

    errors = {"identity": 10.0, "phis": 20.0}
    records = [record(m, s, metrics=falling(e + 0.1 * s * (m == "phis"))) for m, e in errors.items() for s in range(3)]
    records = [r.model_copy(update={"teacher_metrics": {}}) for r in records]
    rows = texts(Section(group_studies(records)[0], "identity"), "What the seeds support")
    assert rows["phis"] == ["0", "0", "1", "2.00"]


def test_ranks_carry_their_interval_and_how_often_they_are_best():
    rows = texts(section(seeds=5), "What the seeds support")
    assert rows["phis"][3:] == ["1.00", "1.00 to 1.00", "50"]  # as center_scale: ties take the lowest rank
    assert rows["identity"][4:] == ["4.00 to 4.00", "0"]


@pytest.mark.parametrize("seeds", [2, 3, 4])
def test_under_five_seeds_there_is_no_bootstrap_and_no_bold_rank(seeds):
    part = section(seeds=seeds)
    found = sheet(part, "What the seeds support")
    assert found.columns == ("method", "better than identity", "undecided", "worse", "avg rank ↓")
    assert f"{seeds} seeds are too few for a bootstrap" in found.caption
    everything = "\n".join(f"{markdown(s)}{latex(s)}" for s in [*part.sheets(), *part.details()])
    for word in ("bootstrap over", "bootstrap intervals", "best (%)", "rank interval"):
        assert word not in everything
    assert "95 % t interval" in part.sheets()[1].caption
    ranks = [row[-1] for title in ("Methods", "Average ranks") for row in sheet(part, title).rows]
    assert not any(cell.strong for cell in ranks)


def test_from_five_seeds_on_the_ranks_that_seeds_do_not_tell_apart_are_bold():
    part = section(seeds=5)
    for title in ("Methods", "What the seeds support", "Average ranks"):
        found = sheet(part, title)
        place = next(i for i, name in enumerate(found.columns) if name in {"avg rank ↓", "Avg ↓"})
        assert {row[0].text for row in found.rows if row[place].strong} == {"phis", "center_scale"}


def test_friedmans_test_is_quoted_and_drawn_over_seeds_alone():
    part = section()
    caption = sheet(part, "What the seeds support").caption
    assert "over 4 seeds" in caption
    assert "metrics" not in caption
    figure = part.figures()["critical_difference"]
    assert [axes.get_title(loc="left").startswith("Over 4 seeds: p") for axes in figure.axes] == [True]


@pytest.mark.parametrize("part", [section({"identity": 0.0, "phis": 1.0}), section(seeds=1)])
def test_without_independent_blocks_there_is_no_test_and_the_report_says_why(part):
    assert "metrics of the same runs are not independent" in sheet(part, "Average ranks").caption
    assert "critical_difference" not in part.figures()
    assert "p = " not in "".join(s.caption for s in [*part.sheets(), *part.details()])


@pytest.mark.parametrize(("seeds", "said"), [(1, "1 seed per method."), (3, "3 seeds per method.")])
def test_every_table_of_numbers_says_at_its_top_how_many_seeds_there_are(seeds, said):
    part = section(seeds=seeds)
    for found in [*part.sheets(), *part.details()]:
        shared = found.title.startswith("Difference to")
        assert found.seeds == (said.replace("per method", "shared with the baseline") if shared else said)
        text = markdown(found)
        assert text.index(found.seeds) < text.index("| method")
        assert latex(found).index(found.seeds) < latex(found).index("tabular")
        assert str(terminal(found).title).endswith(found.seeds)


def test_methods_and_metrics_with_fewer_seeds_are_named_at_the_top():
    records = [*section().study.records, record("late", 0, 2.0)]
    once = record("phis", 0).metrics | {"ood/auroc": percent(60.0)}
    records[0] = records[0].model_copy(update={"metrics": once})
    methods = sheet(Section(Study("", tuple(records)), "identity"), "Methods")
    assert methods.seeds == "4 seeds per method, but late 1, fewer of ood/auroc."


def test_one_seed_has_no_statistics_at_all():
    part = section(seeds=1)
    titles = [s.title for s in [*part.sheets(), *part.details()]]
    assert not any("seeds support" in title or "bootstrap" in title or "effect" in title for title in titles)
    assert "One seed: no interval." in sheet(part, "Difference to identity").caption
    assert not {"critical_difference", "differences"} & set(part.figures())


def test_a_method_with_one_seed_does_not_spoil_the_others():
    records = [*section().study.records, record("late", 0, 2.0)]
    part = Section(Study("", tuple(records)), "identity")
    found = sheet(part, "What the seeds support")
    assert {row[0].text for row in found.rows} == set(GAINS)
    assert found.caption.endswith("Left out, having one seed: late.")
    assert "critical_difference" in part.figures()


def test_without_a_baseline_only_ranks_are_shown():
    found = sheet(section(baseline=None), "What the seeds support")
    assert found.columns == ("method", "avg rank ↓")
    assert sheet(section(baseline=None, seeds=5), "What").columns[1:] == ("avg rank ↓", "rank interval", "best (%)")
    assert "Better" not in found.caption


def test_differences_have_bootstrap_intervals_and_effect_sizes_in_the_file():
    part = section(seeds=5)
    assert part.details()[1].title == "Difference to identity: bootstrap intervals"
    assert texts(part, "Difference to identity: bootstrap")["phis"][0] == "+2.02 to +2.06"
    assert float(texts(part, "Difference to identity: effect size")["phis"][0]) > 20
    assert not any("effect size" in found.title for found in section(seeds=2).details())


def test_the_papers_rank_stands_beside_ours():
    part = section()
    found = sheet(part, "Average rank, beside the paper's (PHI-S, table 1)")
    assert [[cell.text for cell in row] for row in found.rows] == [
        ["phis", "PHI-S", "1.00", "2.92", "1", "1"],
        ["standardize", "Standardize", "3.00", "4.21", "2", "2"],
        ["identity", "MSE", "4.00", "7.83", "3", "3"],
    ]
    for words in ("arXiv:2410.01680v1, table 1", "ViT-B/16", "not the numbers", "tau of the two orders is 1.00"):
        assert words in found.caption
    assert "2.92" in markdown(found)


def test_adaloss_rows_come_from_table_12_and_large_students_from_table_4():
    ada = record("phis, adaloss", choices={"normalizer": "phis", "loss": "mse", "balancer": "adaloss"})
    part = Section(Study("", (record("phis"), ada)), None)
    assert texts(part, "Average rank, beside the paper's (PHI-S, table 12)")["phis, adaloss"][2] == "6.58"
    choices = {"loss": "mse", "student": "vit_large"}
    large = [record(name, choices=choices | {"normalizer": name}) for name in ("phis", "zca_whiten")]
    rows = texts(Section(Study("", tuple(large)), None), "Average rank, beside the paper's (PHI-S, table 4)")
    assert {method: row[2] for method, row in rows.items()} == {"phis": "1.98", "zca_whiten": "–"}


@pytest.mark.parametrize("methods", [["center_scale", "partial_whiten"]])
def test_controls_alone_have_no_row_in_the_paper(methods):
    part = Section(Study("", tuple(record(name) for name in methods)), None)
    assert not any("paper" in found.title for found in part.sheets())


def test_dashes_and_comparisons_survive_latex():
    text = latex(sheet(section(), "What the seeds support"))
    assert "identity & -- & -- & --" in text
    assert "<" not in text.replace("$<$", "")
