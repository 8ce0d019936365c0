"""Globs over the folders of a config group."""

import pytest

from phis_lab.config.option_files import expand_nested_globs


def test_a_glob_over_a_folder_lists_its_options() -> None:
    (expanded,) = expand_nested_globs(["experiment=glob(phis/ada*)"])
    assert expanded == "experiment=phis/ada_mse,phis/ada_phis"


def test_everything_else_is_left_to_hydra() -> None:
    arguments = ["-m", "normalizer=glob(*)", "experiment=phis/phis", "optimizer.lr=1e-3,1e-4", "data.root=a/b"]
    assert expand_nested_globs(arguments) == arguments


def test_a_glob_without_a_match_names_what_there_is() -> None:
    with pytest.raises(ValueError, match="matches no option of experiment; there are: phis/ada_mse"):
        expand_nested_globs(["experiment=glob(phi/*)"])
