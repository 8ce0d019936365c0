import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from synthetic_records import percent, record

from phis_lab.reports import Section, group_studies, leaders
from phis_lab.reports.leaders import is_at_floor
from phis_lab.reports.tables import columns
from phis_lab.runs.record import Metric


def values(table):
    """Method -> values by seed, from methods by seeds."""
    return {f"m{i}": pd.Series(dict(enumerate(row)), dtype=float) for i, row in enumerate(table)}


tables = st.integers(2, 5).flatmap(
    lambda seeds: st.lists(st.lists(st.integers(-30, 30), min_size=seeds, max_size=seeds), min_size=2, max_size=5)
)


@given(tables)
def test_leaders_are_those_whose_paired_t_interval_to_the_best_includes_zero(table):
    means = np.mean(table, axis=1)
    assume(np.sum(means == means.max()) == 1)
    best = int(means.argmax())
    expected = {f"m{best}"}
    for i, row in enumerate(table):
        if np.ptp(np.subtract(table[best], row)) > 0:
            interval = stats.ttest_rel(table[best], row).confidence_interval(0.95)
            expected |= {f"m{i}"} if interval.low <= 0 <= interval.high else set()
    assert leaders(values(table), higher_is_better=True) == expected


@given(tables, st.lists(st.integers(-50, 50), min_size=5, max_size=5), st.integers(1, 9), st.randoms())
def test_luck_that_all_share_units_direction_and_order_do_not_matter(table, luck, scale, random):
    found = leaders(values(table), higher_is_better=True)
    made = values(scale * (np.array(table) + luck[: len(table[0])]))
    shuffled = dict(random.sample(list(made.items()), len(made)))
    if len(set(np.mean(table, axis=1))) == len(table):
        assert leaders(shuffled, higher_is_better=True) == found
        assert leaders(values(-np.array(table)), higher_is_better=False) == found


def test_a_hair_is_no_lead_and_a_mile_is():
    close = values([[76.8, 75.6, 76.2], [75.5, 76.9, 76.2], [60.0, 61.0, 59.5]])
    assert leaders(close, higher_is_better=True) == {"m0", "m1"}


@pytest.mark.parametrize("table", [[[1.0], [2.0]], [[1.0, 2.0]], [[1.0, 2.0], [np.nan, 3.0]]])
def test_one_seed_or_one_method_leads_nobody(table):
    assert leaders(values(table), higher_is_better=True) == frozenset()


def test_a_single_seed_beside_others_is_left_out_and_disjoint_seeds_cannot_be_told_apart():
    made = values([[1.0, 1.1, 0.9], [3.0, 3.1, 2.9]]) | {"late": pd.Series({0: 9.0})}
    assert leaders(made, higher_is_better=True) == {"m1"}
    made["elsewhere"] = pd.Series({5: 1.0, 6: 1.1})
    assert leaders(made, higher_is_better=True) == {"m1", "elsewhere"}


def test_a_perfect_match_leads_and_a_broken_one_does_not():
    made = values([[np.inf, np.inf], [2.0, 2.1], [-np.inf, 2.0]])
    assert leaders(made, higher_is_better=True) == {"m0"}


@pytest.mark.parametrize(
    ("table", "is_up", "floor", "perfect", "expected"),
    [
        ([[7.45], [8.18]], True, 7.5, 100.0, True),
        ([[10.0, 10.3], [61.0, 62.0]], True, 10.0, 100.0, False),
        ([[48.0, 56.0, 52.0]], True, 50.0, 100.0, True),
        ([[25.0, 39.0], [27.0, 37.0]], True, 10.0, 100.0, False),
        ([[np.inf, 1.0], [0.9, 0.9]], True, 1.0, np.inf, True),
        ([[54.9, 55.0, 55.1]], True, 50.0, 100.0, False),
        ([[0.99, 1.0], [1.004, 1.005]], True, 1.0, np.inf, True),
        ([[1.27, 1.28]], True, 1.0, np.inf, False),
        ([[np.inf]], True, 1.0, np.inf, False),
        ([[np.nan, 90.0]], True, 50.0, 100.0, True),
        ([[95.0], [99.0]], False, 95.0, 0.0, True),
        ([[95.0], [80.0]], False, 95.0, 0.0, False),
    ],
)
def test_what_no_method_beats_is_at_its_floor(table, is_up, floor, perfect, expected):
    assert is_at_floor(values(table), floor, is_up, perfect) is expected


@given(st.lists(st.integers(-9, 9), min_size=2, max_size=6), st.integers(-9, 9))
def test_one_method_beats_a_floor_as_by_scipys_one_sided_t_interval(row, floor):
    assume(np.ptp(row) > 0)
    low = stats.ttest_1samp(row, floor, alternative="greater").confidence_interval(0.95).low
    margin = np.mean(row) - floor - 0.01 * abs(floor)
    assume(min(abs(low - floor), abs(margin)) > 1e-9)
    assert is_at_floor(values([row]), float(floor), True, np.inf) == (not (low > floor and margin > 0))


def test_the_luck_of_all_methods_counts_as_one():
    """Two seeds each: alone no method is clear of the floor, all together are."""
    rows = [[56.0, 60.0], [55.0, 59.0], [57.0, 61.0], [56.5, 60.5]]
    assert is_at_floor(values(rows[:1]), 50.0, True, 100.0)
    assert not is_at_floor(values(rows), 50.0, True, 100.0)


def share(value, floor, unit="fraction", **more):
    return Metric(value=value, unit=unit, higher_is_better=True, floor=floor, **more)


def blind_task(seeds=3, gap=0.005):
    """Four methods, whose segmentation is background alone or a hair above it."""
    gains = {"identity": 0.0, "phis": 1.0, "standardize": 0.9, "pca_whiten": 0.5}
    records = []
    for method, gain in gains.items():
        for seed in range(seeds):
            plain = record(method, seed, gain)
            own = {"dense/miou": share(0.0745 + gap * gain, 0.0745), "knn/accuracy": share(0.6 + 0.1 * gain, 0.1)}
            records.append(plain.model_copy(update={"metrics": plain.metrics | own}))
    return Section(group_studies(records)[0], "identity")


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_task_at_its_floor_is_shown_and_neither_ranked_nor_compared(seeds):
    part = blind_task(seeds)
    methods, differences = part.sheets()[:2]
    assert "dense miou (%) ↑" in methods.columns
    assert "dense miou (%) ↑" not in differences.columns
    assert "Not ranked and not compared: dense miou (%) ↑." in methods.caption
    assert not any(row[methods.columns.index("dense miou (%) ↑")].strong for row in methods.rows)
    assert list(part.ranks.columns) == ["teachers", "classification", "Avg"]
    assert "dense/miou" not in {*part.paired["metric"], *part.evidence.cube.metrics}
    assert list(blind_task(seeds, gap=0.05).ranks.columns) == ["teachers", "classification", "segmentation", "Avg"]


def test_floors_are_a_row_of_the_table():
    methods = blind_task().sheets()[0]
    floors = dict(zip(methods.columns, (cell.text for cell in methods.rows[-1]), strict=True))
    assert floors["method"] == "(floor)"
    assert [floors[f"{name} (%) ↑"] for name in ("dense miou", "knn accuracy")] == ["7.450", "10.00"]
    assert floors["linear probe accuracy (%) ↑"] == floors["avg rank ↓"] == "–"
    assert float(floors["xfeat fidelity ↑"]) == 1
    plain = {"metrics": {"knn/accuracy": percent(60.0)}, "teacher_metrics": {}}
    without = Section(group_studies([record("phis", **plain)])[0], None).sheets()[0]
    assert [row[0].text for row in without.rows] == ["phis"]


def test_of_several_floors_the_hardest_counts_and_records_without_one_agree():
    records = [
        record("phis", seed, metrics={"knn/accuracy": share(0.6, floor), "fpr": fpr})
        for seed, (floor, fpr) in enumerate(
            [(0.1, _falling(0.95)), (None, _falling(None)), (0.2, _falling(0.9))],
        )
    ]
    found = columns(records)
    assert (found["knn/accuracy"].floor, found["fpr"].floor) == (20, 90)


def _falling(floor):
    return Metric(value=0.5, unit="fraction", higher_is_better=False, floor=floor)


def test_a_share_of_something_is_shown_in_percent_of_it():
    mce = share(1.582, 1.9, "fraction of error with pixels").model_copy(update={"higher_is_better": False})
    section = Section(group_studies([record(metrics={"robustness/knn_mce": mce})])[0], None)
    methods = section.sheets()[0]
    assert methods.columns[1] == "robustness knn mce (% of error with pixels) ↓"
    assert [row[1].text for row in methods.rows] == ["158.2", "190.0"]
    assert section.meaning["robustness/knn_mce"].perfect == 0


def mapped(method, seed, scale):
    """A method that compresses its teachers, each into a space of its own."""
    plain = record(method, seed)
    matching = {
        teacher: {kind: {f"{key}_mapped": scale * value for key, value in numbers.items()}}
        for teacher, kinds in plain.teacher_metrics.items()
        for kind, numbers in kinds.items()
        if kind == "spatial"
    }
    return plain.model_copy(update={"teacher_metrics": matching, "history": []})


def test_matches_in_different_spaces_are_shown_and_not_compared():
    scales = {"pca": 1.0, "random": 2.0, "tintem": 3.0}
    records = [mapped(method, seed, scale) for method, scale in scales.items() for seed in range(5)]
    part = Section(group_studies(records)[0], "pca")
    assert list(part.ranks.columns) == ["classification", "Avg"]
    assert not any("mapped" in name for name in {*part.paired["metric"], *part.evidence.cube.metrics})
    (sheet,) = [sheet for sheet in part.details() if sheet.title == "Teacher matching in detail: xfeat"]
    assert "fidelity mapped ↑" in sheet.columns
    assert not any(cell.strong for row in sheet.rows for cell in row)
    assert sheet.rows[-1][sheet.columns.index("fidelity mapped ↑")].text == "1.00"
