"""Option files are read once, what is done to a configuration reaches no other, and options need no `+`."""

from pathlib import Path
from unittest import mock

import pytest
from hydra import compose
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from omegaconf import OmegaConf, open_dict

from phis_lab.config.compose import composed, composer
from phis_lab.config.resolvers import content_hash


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


def test_a_choice_that_asks_for_another_choice_gets_it(tmp_path: Path) -> None:
    lists = {
        "own/mine": "# @package _global_\ndefaults: [{/first: a}, {/second: '${first}'}]",
        "first/a": "",
        "second/a": "x: 1",
    }
    for name, text in lists.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.yaml").write_text(f"{text}\n")
    with composer(["+own=mine"], str(tmp_path)) as command:
        assert command.compose().second.x == 1


def found(*overrides: str) -> tuple[str, list[str]]:
    """Hash and recorded overrides of a run."""
    config = compose("config", list(overrides), return_hydra_config=True)
    return content_hash(config), list(config.hydra.overrides.task)


RADIO, STAGES = ("teachers=radio_set",), ("stages=phis", "teachers=tiny_set")
UNSET = [
    (RADIO, "teachers.sam_h.spatial_scale", "2", "1"),
    (RADIO, "teachers.sam_h.spatial_scale", "0.5", "1.0"),
    (RADIO, "teachers.sam_h.architecture", "{depth: 3}", "null"),
    ((), "optimizer.optimizer.amsgrad", "true", "false"),
    (STAGES, "stages.first.steps", "2", "1"),
    (STAGES, "stages.second.partitions.low.batch", "0.5", "1"),
]


@pytest.mark.parametrize(("chosen", "path", "other", "usual"), UNSET)
def test_an_option_of_a_constructor_needs_no_plus(chosen: tuple[str, ...], path: str, other: str, usual: str) -> None:
    bare, plus = f"{path}={other}", f"+{path}={other}"
    without, set_bare = found(*chosen)[0], found(*chosen, bare)
    assert set_bare == found(*chosen, plus)
    assert set_bare[1] == [*chosen, plus]
    assert set_bare[0] != without
    assert [found(*chosen, f"{sign}{path}={usual}")[0] for sign in ("", "+")] == [without] * 2


def test_the_last_value_of_an_option_counts() -> None:
    path = "teachers.sam_h.spatial_scale"
    assert found(*RADIO, f"{path}=1", f"{path}=2")[0] == found(*RADIO, f"{path}=2")[0]
    assert found(*RADIO, f"{path}=2", f"{path}=1")[0] == found(*RADIO)[0]


def test_a_value_of_another_kind_is_not_taken_for_the_usual_one() -> None:
    assert composed(["optimizer.optimizer.amsgrad=0"])["optimizer"]["optimizer"]["amsgrad"] == 0


def test_an_option_below_an_option_that_no_file_sets_needs_no_plus() -> None:
    teacher = composed([*RADIO, "teachers.sam_h.architecture.depth=3"])["teachers"]["sam_h"]
    assert teacher["architecture"] == {"depth": 3}


def test_the_class_that_is_asked_is_the_one_that_was_typed() -> None:
    head = ["head._target_=phis_lab.students.LadderHead", "~head.norm", "head.last_hidden=8"]
    assert composed(head)["head"]["last_hidden"] == 8


def test_the_jobs_of_a_sweep_need_no_plus() -> None:
    with composer([*RADIO, "teachers.sam_h.spatial_scale=1,2", "teachers.dfn_clip.spatial_scale=3"]) as command:
        jobs = command.jobs() or []
        scales = [command.sound(job).teachers for job in jobs]
    assert [job[1] for job in jobs] == ["teachers.sam_h.spatial_scale=1", "teachers.sam_h.spatial_scale=2"]
    assert [teachers.sam_h.get("spatial_scale") for teachers in scales] == [None, 2]
    assert [teachers.dfn_clip.spatial_scale for teachers in scales] == [3, 3]


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ((*RADIO, "teachers.sam_h.spatial_scal=2"), "Did you mean 'spatial_scale'?"),
        ((*STAGES, "stages.first.stepz=2"), "Did you mean 'steps'?"),
        (("head.in_dim=3",), "There is no option 'head.in_dim'"),
        (("logger.csv.folder=x",), "There is no option 'logger.csv.folder'"),
        (("evaluation.tasks.ood.seed=3",), "the evaluation has no such task; choose task=NAME"),
        (("evaluation.data.root=x",), "the evaluation has no data set of its own"),
        (("teachers.new=3",), "There is no option 'teachers.new'"),
        (("evaluation.probes.new.k=3",), "There is no option 'evaluation.probes.new.k'"),
        (("normalizer._target_=no.such.Thing", "normalizer.eps=3"), "There is no option 'normalizer.eps'"),
    ],
)
def test_a_word_that_no_constructor_takes_is_refused_with_what_is_near(overrides: tuple[str, ...], says: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as refused:
        composed(overrides)
    assert says in str(refused.value)
    assert "use +" not in str(refused.value)


def test_an_option_of_a_part_that_is_taken_away_again_changes_nothing() -> None:
    without = composed((*RADIO, "~teachers.sam_h"))
    assert composed((*RADIO, "teachers.sam_h.spatial_scale=2", "~teachers.sam_h")) == without


def test_a_truth_value_is_no_number_that_is_usual() -> None:
    assert composed((*RADIO, "teachers.sam_h.spatial_scale=true"))["teachers"]["sam_h"]["spatial_scale"] is True
    assert "spatial_scale" not in composed((*RADIO, "teachers.sam_h.spatial_scale=1.0"))["teachers"]["sam_h"]
