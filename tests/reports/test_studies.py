import pytest
from synthetic_records import record

from phis_lab.reports import group_studies
from phis_lab.tracking import Data


def methods(study):
    return [r.method for r in study.records]


OTHER_DATA = Data(name="cifar10", fingerprint="beef" * 16, train_images=25_000, test_images=5_000)


@pytest.mark.parametrize(
    "difference",
    [{"name": "another"}, {"data": OTHER_DATA}, {"teachers": {}}, {"steps": 1000}, {"images": 1000}],
    ids=lambda difference: next(iter(difference)),
)
def test_runs_that_cannot_be_compared_are_different_studies(difference):
    studies = group_studies([record(seed=0), record(seed=1), record(seed=0, **difference)])
    assert [len(study.records) for study in studies] == [2, 1]
    assert studies[0].title != studies[1].title


def test_arms_of_one_label_are_told_apart_by_what_differs():
    mse = record("phis", choices={"normalizer": "phis", "loss": "mse", "logger": "csv"})
    cosine = record("phis", choices={"normalizer": "phis", "loss": "cosine", "logger": "none"})
    small_lr = record("phis", choices=mse.choices, overrides=["+optimizer.lr=0.1", "seed=0", "paths.outputs=x"])
    (study,) = group_studies([mse, cosine, small_lr])
    assert methods(study) == ["phis, loss=mse", "phis, loss=cosine", "phis, loss=mse, optimizer.lr=0.1"]


def test_seeds_and_the_way_of_running_do_not_split_a_method():
    (study,) = group_studies([record(seed=0), record(seed=1, overrides=["seed=1", "trainer.devices=2"])])
    assert methods(study) == ["phis", "phis"]


def test_the_same_run_twice_is_refused():
    with pytest.raises(ValueError, match=r"'phis', seed 0 has two results, of commits 1234abcd and 5678abcd"):
        group_studies([record(), record(commit="5678abcd")])
