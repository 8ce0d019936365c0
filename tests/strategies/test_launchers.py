"""A launcher that started another number of processes than the strategy has is refused in a sentence."""

import pytest

from phis_lab.strategies import DataParallel, Single
from phis_lab.strategies.launchers import refuse_other_processes

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}
SLURM = {"SLURM_NTASKS": "8", "SLURM_JOB_NAME": "train", "SLURM_NNODES": "2"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    for name in (*TORCHRUN, *SLURM):
        monkeypatch.delenv(name, raising=False)
    for name, value in request.param.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("environment", [TORCHRUN, SLURM], indirect=True)
def test_the_processes_that_were_started_are_taken(environment: None) -> None:
    refuse_other_processes(DataParallel(devices=4, nodes=2))


@pytest.mark.parametrize("environment", [{}, SLURM | {"SLURM_NTASKS": "1", "SLURM_NNODES": "1"}], indirect=True)
def test_one_process_is_nobody_elses_business(environment: None) -> None:
    refuse_other_processes(Single())


@pytest.mark.parametrize("environment", [{}], indirect=True)
def test_a_process_may_start_the_others_itself(environment: None) -> None:
    refuse_other_processes(DataParallel(devices=4))


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        (TORCHRUN, r"torchrun started 8 processes, 4 on each machine, and by the strategy \({}\) there are {}; choose "
         r"strategy=ddp strategy\.devices=4 strategy\.nodes=2, or start others with --nproc-per-node"),
        (SLURM, r"Slurm started 8 processes, 4 on each machine, and .*\({}\) there are {}; .* with --ntasks-per-node"),
        (TORCHRUN | {"WORLD_SIZE": "3", "LOCAL_WORLD_SIZE": "3"},
         r"started 3 .*\({}\) there are {}; choose strategy=ddp strategy\.devices=3, or"),
    ],
    indirect=["environment"],
    ids=["torchrun", "slurm", "three"],
)  # fmt: skip
@pytest.mark.parametrize(
    ("strategy", "chosen", "count"),
    [(Single(), "it is one", 1), (DataParallel(devices=2), r"strategy\.devices=2 strategy\.nodes=1", 2)],
    ids=["single", "two"],
)
def test_another_number_is_refused(
    environment: None, says: str, strategy: Single | DataParallel, chosen: str, count: int
) -> None:
    with pytest.raises(ValueError, match=says.format(chosen, count)):
        refuse_other_processes(strategy)
