"""A launcher that started another number of processes than the strategy has is refused in a sentence."""

import pytest
from lightning.fabric.plugins.environments.lightning import LightningEnvironment

from phis_lab.strategies import DataParallel, Single, launchers
from phis_lab.strategies.launchers import SlurmStep, local_rank, refuse_other_processes

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}
SLURM = {"SLURM_NTASKS": "8", "SLURM_JOB_NAME": "train", "SLURM_NNODES": "2"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    for name in (*TORCHRUN, *SLURM, "SLURM_JOB_ID", "SLURM_STEP_ID", "MASTER_ADDR", "NODE_RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in request.param.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("environment", [TORCHRUN, SLURM], indirect=True)
def test_the_processes_that_were_started_are_taken(environment: None) -> None:
    refuse_other_processes(DataParallel(devices=4, nodes=2))


@pytest.mark.parametrize("environment", [{}, SLURM | {"SLURM_NTASKS": "1", "SLURM_NNODES": "1"}], indirect=True)
def test_one_process_is_nobody_elses_business(environment: None) -> None:
    refuse_other_processes(Single())


@pytest.mark.parametrize("environment", [{}, SLURM | {"SLURM_JOB_ID": "7"}], indirect=True, ids=["alone", "script"])
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


@pytest.mark.parametrize("environment", [SLURM | {"SLURM_NTASKS": "1", "SLURM_NNODES": "1"}], indirect=True)
def test_one_task_of_a_strategy_of_two_is_told_both_ways_out(environment: None) -> None:
    with pytest.raises(ValueError, match=r"1 process, .* choose strategy=single, or .* --ntasks-per-node=2$"):
        refuse_other_processes(DataParallel(devices=2))


@pytest.mark.parametrize("environment", [{}, SLURM | {"SLURM_JOB_ID": "7"}], indirect=True, ids=["alone", "script"])
def test_other_machines_that_nobody_started_are_not_waited_for(
    environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"strategy\.nodes=2, and nothing has started .* srun or torchrun"):
        refuse_other_processes(DataParallel(devices=4, nodes=2))
    monkeypatch.setenv("MASTER_ADDR", "first")
    monkeypatch.setenv("NODE_RANK", "1")
    refuse_other_processes(DataParallel(devices=4, nodes=2))


@pytest.mark.parametrize(
    ("environment", "kind"),
    [
        ({}, type(None)),
        (TORCHRUN | SLURM | {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"}, type(None)),
        (SLURM | {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0"}, SlurmStep),
        (SLURM | {"SLURM_JOB_ID": "7"}, LightningEnvironment),
    ],
    indirect=["environment"],
    ids=["alone", "torchrun-in-slurm", "task", "script"],
)
def test_lightning_is_told_who_started_the_processes(environment: None, kind: type) -> None:
    assert type(launchers.environment()) is kind


@pytest.mark.parametrize(
    ("environment", "number"),
    [({}, 0), (TORCHRUN | {"LOCAL_RANK": "3"}, 3), ({"LOCAL_RANK": "1"}, 1), (SLURM | {"SLURM_LOCALID": "2"}, 2)],
    indirect=["environment"],
    ids=["alone", "torchrun", "started by another", "slurm"],
)
def test_a_process_knows_its_number_on_its_machine_before_it_asks_for_a_gpu(environment: None, number: int) -> None:
    assert local_rank() == number


@pytest.mark.parametrize(
    ("environment", "option"),
    [
        (SLURM | {"SLURM_NTASKS": "3"}, "--ntasks-per-node"),
        (TORCHRUN | {"WORLD_SIZE": "3", "LOCAL_WORLD_SIZE": "2"}, "--nproc-per-node"),
    ],
    indirect=["environment"],
)
@pytest.mark.parametrize("strategy", [DataParallel(devices=1, nodes=3), DataParallel(devices=3)])
def test_tasks_that_do_not_divide_among_machines_are_refused(
    environment: None, option: str, strategy: DataParallel
) -> None:
    with pytest.raises(ValueError, match=rf"3 tasks unevenly among 2 machines.*{option}"):
        refuse_other_processes(strategy)
