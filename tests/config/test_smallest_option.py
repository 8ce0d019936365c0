"""`teachers.smallest`: what a run with it builds, says and records, and with which runs it shares teachers."""

import logging

import pytest
from hydra import compose

from phis_lab.config.assemble import assemble
from phis_lab.config.jobs import create_job
from phis_lab.runs import group_jobs
from phis_lab.runs.job import Job


def job(*overrides: str) -> Job:
    config = compose("config", ["debug=smoke", "logger=none", *overrides], return_hydra_config=True)
    return create_job(config, "-".join(("job", *overrides)))


@pytest.mark.parametrize(("smallest", "expected"), [("true", [56, 56, 56, 64]), ("false", [56, 56, 56, 128])])
def test_a_run_records_the_image_sizes_that_its_teachers_see(
    smallest: str, expected: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    chosen = job(f"teachers.smallest={smallest}")
    pool = assemble([chosen], {chosen.folder: "phis"}).stages[0].main.train.pool
    assert [facts["image_size"] for facts in pool.describe().values()] == expected
    said = "teacher sam_h sees 64 px instead of 128 (grid 4 x 4 instead of 8 x 8)"
    assert (said in caplog.text) == (smallest == "true")


def test_it_is_another_run() -> None:
    assert job("teachers.smallest=true").sha256 != job("teachers.smallest=false").sha256


@pytest.mark.parametrize(("smallest", "groups"), [("true", 2), ("false", 1)])
def test_arms_share_teachers_only_if_their_students_leave_the_sizes_alone(smallest: str, groups: int) -> None:
    option = f"teachers.smallest={smallest}"
    jobs = [job(option), job(option, "normalizer=identity"), job(option, "student.patch_size=8")]
    grouped = group_jobs(jobs)
    assert len(grouped) == groups
    assert grouped[0][:2] == jobs[:2]
