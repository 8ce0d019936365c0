import numpy as np
import pandas as pd
import pytest
from scipy import stats
from synthetic_records import TEACHERS, record, write_study

from phis_lab.reports import report
from phis_lab.runs import Data

QUALITIES = {"identity": 0.0, "standardize": 2.0, "phis": 4.0}


def of_data(data_name, seeds, qualities=QUALITIES, **changes):
    data = Data(name=data_name, fingerprint=data_name, train_images=100, test_images=50)
    return [record(m, seed, q, data=data, **changes) for m, q in qualities.items() for seed in seeds]


def written(folder, records, formats=("md", "png")):
    return report(write_study(folder, records), formats=formats)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    turned = {"identity": 4.0, "standardize": 2.0, "phis": 6.0}
    folder = tmp_path_factory.mktemp("across")
    return written(folder, of_data("cifar10", range(3)) + of_data("digits", range(2), turned)), folder


def test_the_blocks_are_the_seeds_of_all_data_sets(made):
    [across] = made[0].across
    places = pd.DataFrame([[3, 2, 1]] * 3 + [[2, 3, 1]] * 2, columns=list(QUALITIES))
    assert across.test.blocks == 5
    assert across.test.ranks.to_dict() == pytest.approx(places.mean().to_dict())
    assert across.test.p_value == pytest.approx(stats.friedmanchisquare(*places.to_numpy().T).pvalue)
    assert across.test.p_value > stats.friedmanchisquare(*np.array([[3, 2, 1]] * 5).T).pvalue


def test_it_is_shown_after_the_data_sets_with_a_diagram(made):
    found, folder = made
    text = (folder / "report.md").read_text()
    assert len(found.sections) == 2
    assert "## pocket_methods: over 2 data sets (cifar10, digits)" in text
    assert "Seeds: cifar10 3, digits 2." in text
    assert "| phis | 1.00 | 1.00 | 1.00 |" in text
    assert (folder / "figures/across_critical_difference.png") in found.files


def test_one_seed_on_each_data_set_is_a_block(tmp_path):
    [across] = written(tmp_path, of_data("cifar10", [0]) + of_data("digits", [0]), ["md"]).across
    assert across.test.blocks == 2


def test_methods_that_a_data_set_lacks_are_named_and_do_not_count(tmp_path):
    more = QUALITIES | {"pca_whiten": 9.0}
    [across] = written(tmp_path, of_data("cifar10", [0, 1], more) + of_data("digits", [0, 1]), ["md"]).across
    assert across.left_out == ("pca_whiten",)
    assert across.test.ranks["phis"] == 1


@pytest.mark.parametrize(
    "others",
    [
        [],
        of_data("digits", [0, 1], {"identity": 0.0, "phis": 1.0}),
        of_data("digits", [0, 1], teachers={TEACHERS[0]: {"source": "a", "sha256": "b"}}, teacher_metrics={}),
        of_data("digits", [0, 1], name="another_study"),
        of_data("cifar10", [0, 1], steps=10),
    ],
    ids=["one data set", "two methods", "other teachers", "another study", "another budget"],
)
def test_what_differs_in_more_than_its_data_is_not_tested_together(tmp_path, others):
    assert written(tmp_path, of_data("cifar10", [0, 1]) + others, ["md"]).across == ()
