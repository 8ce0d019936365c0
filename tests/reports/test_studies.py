from pathlib import Path

import pytest
from synthetic_records import percent, record

from phis_lab.reports import caveats, group_studies
from phis_lab.runs import Data, Source


def methods(study):
    return [r.method for r in study.records]


OTHER_DATA = Data(name="cifar10", fingerprint="beef" * 16, train_images=25_000, test_images=5_000)


@pytest.mark.parametrize(
    "difference",
    [
        {"name": "another"},
        {"data": OTHER_DATA},
        {"evaluation_data": OTHER_DATA},
        {"teachers": {}},
        {"steps": 1000},
        {"images": 1000},
    ],
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


def test_two_results_of_one_run_are_named_and_neither_is_preferred():
    twice = [record(seed=7), record(seed=7, quality=1.0, commit="5678abcd"), record(seed=8), record("identity", 7)]
    (study,) = group_studies(twice, [Path("seed7"), Path("seed007"), Path("seed8"), Path("identity")])
    assert [(r.method, r.seed) for r in study.records] == [("phis", 8), ("identity", 7)]
    (repeat,) = study.repeats
    assert repeat.startswith(
        "phis, seed 7 has 2 results: seed7 (commit 1234abcd) and seed007 (commit 5678abcd). Their numbers differ"
    )


def test_one_result_in_two_folders_counts_once():
    nan = {"knn/accuracy": percent(float("nan"))}
    (study,) = group_studies([record(metrics=nan), record(metrics=nan)], [Path("seed7"), Path("seed007")])
    assert len(study.records) == 1
    assert study.repeats == (
        "phis, seed 0 has 2 results: seed7 and seed007. They hold the same numbers, which count once",
    )


def test_equal_labels_of_different_configurations_tell_their_hashes():
    (study,) = group_studies([record(), record(config_sha256="f" * 64, quality=1.0)])
    assert study.records == ()
    assert "a run of configuration 00000000, commit 1234abcd and a run of configuration ffffffff" in study.repeats[0]


def test_code_that_was_edited_between_runs_is_a_caveat():
    runs = [record(seed=seed, sources={"the code of mine": Source(sha256=str(seed))}) for seed in range(2)]
    (study,) = group_studies(runs)
    assert "Not all runs are of the same code of mine." in caveats(study)
