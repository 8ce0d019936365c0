"""Option files are read once, and what is done to a configuration reaches no other."""

from pathlib import Path
from unittest import mock

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from omegaconf import OmegaConf, open_dict

from phis_lab.config.compose import composer


def test_a_second_configuration_reads_no_file_again() -> None:
    with composer(["normalizer=phis"]) as command:
        first = command.compose()
        with mock.patch.object(FileConfigSource, "load_config", side_effect=AssertionError("a file is read again")):
            assert command.compose(["normalizer=phis", "seed=3"]).seed == 3
            assert OmegaConf.to_container(command.compose()) == OmegaConf.to_container(first)


def test_what_is_done_to_a_configuration_reaches_no_other() -> None:
    with composer([]) as command:
        first = command.compose(["optimizer.lr=0.5", "+teachers.more=1"])
        with open_dict(first):
            del first.normalizer
            first.trainer.max_steps = 1
        second = command.compose()
    assert second.optimizer.lr != 0.5
    assert "more" not in second.teachers
    assert "_target_" in second.normalizer
    assert second.trainer.max_steps != 1


def test_folders_of_own_files_are_told_apart(tmp_path: Path) -> None:
    for name in ("Identity", "PhiS"):
        own = tmp_path / name / "normalizer" / "mine.yaml"
        own.parent.mkdir(parents=True)
        own.write_text(f"_target_: phis_lab.normalizers.{name}\n")
    for name in ("Identity", "PhiS"):
        with composer(["normalizer=mine"], str(tmp_path / name)) as command:
            assert command.compose().normalizer._target_ == f"phis_lab.normalizers.{name}"
