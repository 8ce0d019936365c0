import pytest
from synthetic_records import record

from phis_lab.reports.page.runs import alone, commands_sheet, cost, differing_sheet, options, runs_sheet


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("python run.py -m sweep=demo seed=0,1", "python run.py normalizer=phis 'label=a b'"),
        ("phis-lab train normalizer=phis,identity -m", "phis-lab train normalizer=phis 'label=a b'"),
        ("python -m phis_lab train -m seed=0,1", "python -m phis_lab train normalizer=phis 'label=a b'"),
        ("python run.py -cd mine -m seed=0,1", "python run.py -cd mine normalizer=phis 'label=a b'"),
        ("run.py --config-dir='my own' seed=1", "run.py '--config-dir=my own' normalizer=phis 'label=a b'"),
        ("python run.py 'never closed", "python run.py 'never closed"),
        ("", "normalizer=phis 'label=a b'"),
    ],
)
def test_the_command_of_one_run_keeps_program_and_folders(typed, expected):
    assert alone(record(command=typed, overrides=["normalizer=phis", "label=a b"])) == expected


def test_options_tell_what_differs():
    one = record("phis", 0, choices={"normalizer": "phis", "loss": "mse"}, overrides=["seed=0", "+optimizer.lr=1"])
    two = record("phis", 1, choices={"normalizer": "phis", "loss": "mse"}, overrides=["seed=1"])
    three = record("ada", 1, choices={"normalizer": "phis", "loss": "cosine"}, overrides=["seed=1"])
    found = options([one, two, three])
    assert [option.name for option in found] == ["normalizer", "loss", "optimizer.lr"]
    assert [option.name for option in found if option.differs] == ["loss", "optimizer.lr"]
    sheet = differing_sheet([one, two, three], found)
    assert [[cell.text for cell in row] for row in sheet.rows] == [["phis", "mse", "1 or –"], ["ada", "cosine", "–"]]
    assert differing_sheet([two, two], options([two, two])) is None


def test_arms_of_one_process_share_its_hours():
    device = {"cpu": "a CPU", "arms": 3}
    shared = [record(name, wall_time_s=7200, device=device) for name in ("a", "b", "c")]
    assert cost(shared) == "2,844 images/s; 2 h of a machine for 3 runs"
    assert cost([record(wall_time_s=1800, images_per_s=10)], 4) == (
        "10 images/s; 0.5 h of a machine for 1 run, which is 2.00 at 4 for an hour"
    )


def test_an_origin_in_which_runs_differ_is_marked():
    same = runs_sheet([record(seed=0), record(seed=1)])
    assert not any("differs" in name for name in same.columns)
    other = runs_sheet([record(seed=0), record(seed=1, commit="f" * 40, device={"gpu": "a GPU"})])
    assert [name for name in other.columns if "differs" in name] == ["commit (differs)", "machine (differs)"]
    assert [cell.text for cell in commands_sheet([record(seed=3)]).rows[0][1:3]] == [
        "3",
        "python run.py normalizer=phis seed=3",
    ]
