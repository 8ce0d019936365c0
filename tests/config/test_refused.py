"""What Hydra, OmegaConf and YAML refuse is a sentence that says what to type."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from phis_lab.config.compose import composed, composer

Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes an option file of one's own."""

    def to(name: str, text: str | bytes) -> Path:
        file = tmp_path / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return to


def refusal(*overrides: str, config_dir: Path | None = None) -> str:
    with pytest.raises(ValueError, match=r"\S") as refused:
        composed(overrides, config_dir)
    return str(refused.value)


FOLDER = "data=image_folder"


@pytest.mark.parametrize(
    "value",
    [
        "train-{000..000}.tar",
        "/d/epoch=9-step=88.ckpt",
        "/d/a(1)",
        "/d/it's",
        "/d/a[1]",
        '/d/"q"',
        "~/d",
        "/d/a,b",
        "{a",
    ],
)
def test_a_value_with_signs_is_shown_in_the_form_that_works(value: str) -> None:
    said = refusal(FOLDER, f"data.root={value}")
    shown = shlex.split(said[said.index("'data.root=") :])[0].rstrip(".")
    assert OverridesParser.create().parse_override(shown).value() == value
    assert composed([FOLDER, shown])["data"]["root"] == value


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["normalizer", "=", "phis"], "say NAME=VALUE, without spaces"),
        (["=phis"], "say NAME=VALUE"),
        (["normalizer=phis,identity"], "need -m (--multirun)"),
        (["seed=range(1,3)"], "need -m (--multirun)"),
        ([FOLDER], "data.root: no value is given"),
        (["data.batch_size=${nope}"], "data.batch_size=${nope}: there is no option 'nope'"),
        (["data.batch_size=${data.batch_sise}"], "Did you mean 'data.batch_size'?"),
        (["data.batch_size=${data.batch_size}"], "data.batch_size=${data.batch_size}: "),
        (["data.batch_size=${unheard_of:3}"], "data.batch_size=${unheard_of:3}: "),
        (["data.batch_size=${oc.env:PHIS_LAB_NOT_SET}"], "'PHIS_LAB_NOT_SET' not found"),
        (["hydra.run.dir=${nope}"], "hydra.run.dir=${nope}: "),
        (["scale=null"], "scale=null: leave scale out"),
        (["normalizer=[phis,identity]"], "-m normalizer="),
        (["+normalizer=phis"], "leave out the +"),
        (["teacher@teachers.nope=xfeat"], "+teacher@teachers.nope=xfeat"),
        (["hydra/launcher=nope"], "shared_teachers"),
        (["hydra.searchpath=[/no/such/folder]"], "/no/such/folder does not exist"),
        (["hydra.searchpath=word"], "a list of folders is wanted"),
        (["hydra.searchpath=[pkg://no_such_package]"], "no_such_package, which cannot be imported"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(overrides: list[str], says: str) -> None:
    assert says in refusal(*overrides)


def test_every_option_without_a_value_is_listed() -> None:
    said = refusal("data=webdataset", "task=shifted")
    for path in ("data.root", "evaluation.tasks.shifted.roots", "evaluation.tasks.shifted.classes_root"):
        assert f"{path}=..." in said


@pytest.mark.parametrize("form", ["{}=null", "~{}"])
def test_groups_that_are_needed_are_not_taken_away(form: str) -> None:
    groups = ("normalizer", "student", "trainer", "loss", "evaluation", "logger", "teachers")
    said = refusal(*map(form.format, groups))
    for group in groups:
        assert f"{group} is needed, and none is chosen; choose {group}=... of " in said


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["normalizer=phi"], "Did you mean 'phis'?"),
        (["normaliser=phis"], "Did you mean 'normalizer'?"),
        (["teachers=phis"], "Did you mean normalizer=phis or stages=phis?"),
        (["experiment=phis"], "is a folder of options; choose one of phis/ada_mse, "),
        (["experiment=hca"], "Did you mean 'phis/hca'?"),
        (["optimizer.lrr=1"], "Did you mean 'lr'?"),
        (["optimizer.optimizer.betaz=1"], "Did you mean 'betas'?"),
        (["optimizer.optimizer.lr=1"], "Did you mean 'optimizer.lr'?"),
        (["lr=1"], "Did you mean 'optimizer.lr'?"),
        (["max_steps=1"], "Did you mean 'trainer.max_steps'?"),
        (["experiment=unic/full", "balancer.probabilty=0.5"], "Did you mean 'probability'?"),
        (["balancer.probability=0.5"], "It is an option of balancer=teacher_dropping."),
        (["logger.wandb.project=x"], "Did you mean logger=wandb?"),
        (["logger=[csv,wand]"], "Did you mean 'wandb'?"),
        (["stages.one.share=1"], "stages is null; choose stages=... of "),
        (["seed.x=1"], "seed is a value"),
        (["~head.hidden"], "head.hidden is null already"),
        (["~optimizer.optimizer.amsgrad"], "optimizer.optimizer.amsgrad is not set"),
        (["debug=smok"], "Did you mean 'smoke'?"),
    ],
)
def test_what_was_perhaps_meant(overrides: list[str], says: str) -> None:
    said = refusal(*overrides)
    assert says in said
    assert "use +" not in said


def test_hints_look_at_what_the_experiment_chooses() -> None:
    said = refusal("experiment=unic/full", "balancer.probability=0.5", "loss=typo")
    assert said.startswith("loss=typo: there is no such option of loss.")
    assert "balancer" not in said


FILES = [
    ("normalizer/mine", "dim: 3\n", "normalizer/mine.yaml: normalizer has no _target_"),
    ("normalizer/mine", "", "normalizer/mine.yaml: normalizer has no _target_"),
    ("normalizer/mine", "- a\n", "normalizer=mine holds no options"),
    ("normalizer/mine", "_target_: x.Y\n\tz: 1\n", "normalizer/mine.yaml, line 2, column 1: "),
    ("normalizer/mine", "_target_: a: b\n", "normalizer/mine.yaml, line 1, column 12: "),
    ("normalizer/mine", "_target_: a.B\n_target_: c.D\n", "duplicate key _target_"),
    ("normalizer/mine", b"\xef\xbb\xbf_target_: phis_lab.normalizers.PhiS\n", "byte order mark"),
    ("normalizer/mine", b"# caf\xe9\n_target_: phis_lab.normalizers.PhiS\n", "normalizer/mine.yaml is not UTF-8"),
    ("normalizer/phis", "_target_: my.PhiS\n", "normalizer/phis.yaml is never read"),
]


@pytest.mark.parametrize(("name", "text", "says"), FILES, ids=range(len(FILES)))
def test_a_wrong_file_is_named(write: Write, tmp_path: Path, name: str, text: str | bytes, says: str) -> None:
    write(name, text)
    assert says in refusal(name.replace("/", "="), config_dir=tmp_path)


def test_the_file_that_asks_for_what_is_not_there_is_named(write: Write, tmp_path: Path) -> None:
    file = write("experiment/mine/a", "# @package _global_\ndefaults: [{override /loss: typo}]\n")
    assert f"({file} asks for it)" in refusal("experiment=mine/a", config_dir=tmp_path)


def test_own_files_are_found_by_either_way_and_by_globs(write: Write, tmp_path: Path) -> None:
    for seed in (3, 4):
        write(f"experiment/mine/s{seed}", f"# @package _global_\nseed: {seed}\n")
    assert composed(["experiment=mine/s3"], tmp_path)["seed"] == 3
    assert composed(["experiment=mine/s4", f"hydra.searchpath=[{tmp_path}]"])["seed"] == 4
    for place in ([f"hydra.searchpath=[file://{tmp_path}]"], []):
        with composer([*place, "experiment=glob(mine/*)"], None if place else str(tmp_path)) as command:
            assert command.jobs() == [["experiment=mine/s3"], ["experiment=mine/s4"]]


def test_the_jobs_of_a_sweep_are_known_before_it_begins() -> None:
    with composer(["sweep=demo", "seed=0,1"]) as command:
        jobs = command.jobs()
    assert jobs is not None
    assert len(jobs) == 6
    assert {job[-1] for job in jobs} == {"seed=0", "seed=1"}
