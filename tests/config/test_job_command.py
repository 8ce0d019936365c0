"""The command that a run tells for going on is one that its user can type."""

import pytest

from phis_lab.config.jobs import _command


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["/x/run.py", "seed=1", "task=[ood]"], "python run.py seed=1 'task=[ood]'"),
        (["/x/phis_lab/__main__.py", "train", "seed=1"], "python -m phis_lab train seed=1"),
        (["/x/bin/phis-lab", "train", "seed=1"], "phis-lab train seed=1"),
        (["/x/submitit/core/_submit.py", "/outputs/.submitit/%j"], "python run.py seed=1 normalizer=phis"),
    ],
)
def test_the_command_is_the_users(argv: list[str], command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", argv)
    assert _command(["seed=1", "normalizer=phis"]) == command
