"""`phis-lab plan` as one types it, and the paper's own cost."""

import json

import pytest
from typer.testing import CliRunner

from phis_lab.cli import app
from phis_lab.commands.plan import Wanted, plan
from phis_lab.commands.plan_shown import document, show

PAPER_HOURS = 1280  # PHI-S, table 10, stage 1: 32 A100 for 40 hours


def run(*arguments):
    result = CliRunner().invoke(app, ["plan", *arguments], env={"COLUMNS": "160"})
    return result.stdout, result.stderr, result.exit_code


def test_the_first_stage_of_phis_costs_what_its_paper_says_within_thirty_percent():
    made = plan(["experiment=phis/phis", "scale=paper", "strategy=ddp"], Wanted(gpus=32, gpu="a100"))
    assert made.chosen.device_hours == pytest.approx(PAPER_HOURS, rel=0.3)
    assert made.problems == []
    assert made.chosen.bytes_per_rank < 80e9
    (stage,) = made.work.stages
    sizes = {teacher.name: teacher.parameters for part in stage.partitions for teacher in part.teachers}
    assert sizes == pytest.approx({"dfn_clip": 633e6, "siglip": 428e6, "dinov2_g": 1135e6, "sam_h": 637e6}, rel=0.01)
    rows = {row.partition: row for row in made.partitions}
    assert rows["sam_h"].fair_ranks > 16
    published = " ".join(made.assumptions)
    assert "312 TFLOP/s" in published
    assert "0.42" in published


def test_a_plan_is_shown_and_is_one_document(capsys):
    partitioned = ["debug=smoke", "strategy=teacher_partition", "stages=one_teacher_per_image"]
    made = plan(partitioned, Wanted(gpus=4, price=2.0))
    show(made)
    shown = capsys.readouterr().out
    assert plan(["debug=smoke", "strategy=fsdp2", "strategy.devices=4"]).chosen.ranks == 4
    for words in ("Memory of the fullest rank", "waits", "sam_h", "$", "Assumptions", "- Take "):
        assert words in shown
    answer = document(made)
    assert set(answer["layouts"]) == {"single", "ddp", "fsdp2", "teacher_partition"}
    ddp = answer["layouts"]["ddp"]
    assert ddp["cost"] == pytest.approx(2 * ddp["gpu_hours"])


@pytest.mark.parametrize(
    ("overrides", "gpus", "says"),
    [
        (["stages=one_teacher_per_image", "strategy.ranks={all: {dfn_clip: 9}}"], 4, "must give each partition its"),
        ([], 4, "no stage has several"),
        (["stages=one_teacher_per_image"], 3, "has 4 partitions, one for each process at least"),
    ],
)
def test_what_the_strategy_would_refuse_is_no_plan_without_a_word(overrides, gpus, says):
    made = plan(["debug=smoke", "strategy=teacher_partition", *overrides], Wanted(gpus=gpus))
    assert any("does not start" in problem and says in problem for problem in made.problems), made.problems


PARTITIONED = ["debug=smoke", "strategy=teacher_partition", "stages=one_teacher_per_image", "data.batch_size=64"]


def test_measured_ranks_are_planned_with_those_that_would_balance():
    made = plan([*PARTITIONED, "strategy.ranks=measured"], Wanted(gpus=22))
    shares = {share.partition: share.ranks for share in made.chosen.stages[0].shares}
    assert shares == {row.partition: row.best_ranks for row in made.partitions}
    assert sum(shares.values()) == 22
    assert shares["sam_h"] == max(shares.values())
    made.refuse_what_does_not_start()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--gpus", "8", "--gpu", "a100", "--memory-gb", "0.001"], "does not fit: a rank needs about"),
        (["--gpus", "9"], "16 images a step (all/dfn_clip) do not divide among 3 ranks"),
        (["--gpus", "63", "strategy.ranks=measured"], "some cannot share the images of a step evenly (16 of dfn_clip"),
        (["--gpus", "3", "strategy.ranks=measured"], "has 4 partitions, one for each process at least"),
    ],
)
def test_a_run_that_would_not_start_ends_the_plan_with_a_code_after_its_tables(arguments, says):
    shown, refused, code = run(*PARTITIONED, *arguments)
    assert code == 1
    assert "Ways of spreading it" in shown
    assert "this run would not start as it is planned: strategy=teacher_partition" in refused
    assert says in " ".join(refused.split())


def test_a_run_that_only_takes_longer_than_it_might_is_planned_well():
    shown, refused, code = run("debug=smoke", "strategy=ddp", "--gpus", "2", "--link", "0.000001", "--json")
    answer = json.loads(shown)
    assert (code, refused) == (0, "")
    assert "is bound by the link" in " ".join(answer["problems"])


def test_data_and_weights_need_not_be_there():
    shown, refused, code = run("debug=smoke", "data=image_folder", "teachers=tintem_set", "--gpu", "cpu", "--json")
    assert code == 0, refused
    answer = json.loads(shown)
    assert (answer["strategy"], answer["gpus"]) == ("single", 1)
    ((teacher,),) = (part["teachers"] for part in answer["stages"][0]["partitions"])
    assert teacher["name"] == "dinov2_s"
    assert teacher["parameters"] == pytest.approx(21.6e6, rel=0.01)  # of a ViT-S/14 on 4 x 4 tokens


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["debug=smoke", "gpus=32"], "options of the plan itself are written with dashes: --gpus 32"),
        (
            ["debug=smoke", "normalizer=phis,identity"],
            "normalizer=phis,identity: a plan is of one run. Give one value, and",
        ),
        (["debug=smoke", "data.root={"], "data.root={"),
        (["debug=smoke", "--memory-gb", "inf"], "--memory-gb inf: a finite number is wanted"),
        (["debug=smoke", "--gpu", "h10"], "no such device; there are a100"),
        (
            ["debug=smoke", "strategy=single", "--gpus", "2"],
            "strategy=single is one process, and --gpus 2 asks for more",
        ),
        (["debug=smoke", "strategy=ddq"], "ddp"),
        (["debug=smoke", "trainer.max_step=3"], "Did you mean 'max_steps'?"),
    ],
)
def test_what_is_wrong_is_a_sentence(arguments, words):
    _, refused, code = run(*arguments)
    assert code == 1
    assert words in refused
