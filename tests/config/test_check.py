"""Bad options are refused with their names before anything is built."""

import re

import pytest
from hydra import compose

from phis_lab.config.build import build
from phis_lab.config.check import check
from phis_lab.config.resolvers import to_plain

OPTIMIZER = {
    "_target_": "phis_lab.engine.OptimizerRecipe",
    "optimizer": {"_target_": "torch.optim.AdamW", "_partial_": True},
}


def test_a_sound_configuration_passes() -> None:
    check({"optimizer": {**OPTIMIZER, "lr": 1e-3}, "seed": 0})


def test_an_unknown_option_is_named_and_the_known_ones_listed() -> None:
    with pytest.raises(ValueError, match=r"optimizer\.lrr: no such option; there are: optimizer, lr, weight_decay"):
        check({"optimizer": {**OPTIMIZER, "lrr": 1e-3}})


@pytest.mark.parametrize(("option", "value"), [("lr", "fast"), ("lr", -1.0), ("warmup", 2), ("clip", "no")])
def test_a_wrong_type_or_value_is_named(option: str, value: object) -> None:
    with pytest.raises(ValueError, match=rf"optimizer\.{option}={value!r}: "):
        check({"optimizer": {**OPTIMIZER, option: value}})


def test_a_value_outside_its_choices_is_named_with_the_choices() -> None:
    node = {"_target_": "phis_lab.engine.TrainerOptions", "max_steps": 3, "precision": "half"}
    with pytest.raises(ValueError, match=r"trainer\.precision='half': Input should be 'auto', 'float32' or 'bfloat16'"):
        check({"trainer": node})


def test_options_inside_collections_are_checked_too() -> None:
    node = {
        "_target_": "phis_lab.engine.Evaluation",
        "probes": {"knn": {"_target_": "phis_lab.evals.KNN", "k": 0}},
    }
    with pytest.raises(ValueError, match=r"evaluation\.probes\.knn\.k=0"):
        check({"evaluation": node})


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ValueError, match=r"optimizer\.lr=-1") as refusal:
        check({"optimizer": {**OPTIMIZER, "lr": -1, "final": 7}})
    assert "optimizer.final=7" in str(refusal.value)


def test_a_constructor_that_refuses_is_named() -> None:
    node = {
        "_target_": "phis_lab.engine.OnlineEstimation",
        "steps": 2,
        "refresh_every": 1,
        "warmup_steps": 4,
    }
    with pytest.raises(ValueError, match="estimation: warmup_steps"):
        build(node, "estimation")


def test_lists_become_the_annotated_type() -> None:
    augmentation = build(
        {"_target_": "phis_lab.data.Augmentation", "image_size": 8, "scale": [0.5, 1.0]}, "augmentation"
    )
    assert augmentation.image_size == 8


def composed(*overrides: str) -> dict[str, object]:
    return to_plain(compose("config", list(overrides), return_hydra_config=True))


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ("+max_steps=4", "max_steps: no such option; there are: teachers, student, .* Did you mean trainer.max_steps?"),
        ("+new.key=1", "new: no such option; there are: teachers"),
        ("++seeds=1", "seeds: no such option; .* Did you mean seed?"),
        ("+online.stps=5", "online.stps: no such option; there are: steps, .* Did you mean online.steps?"),
        ("+online.save=x", "online.save: no such option"),
        ("+paths.output=x", "paths.output: no such option; there are: outputs. Did you mean paths.outputs?"),
        ("+teachers.smalest=true", "teachers.smalest=True: a Teacher is wanted, .* Did you mean teachers.smallest?"),
        ("+teachers.xfeat.x=1", "teachers.xfeat.x: no such option; there are: name, image_size"),
        (
            "+optimizer.optimizer.weight_decay=0",
            "weight_decay=0: the run itself sets .* optimizer.weight_decay?",
        ),
        ("+optimizer.optimizer.nesterov=true", "optimizer.optimizer.nesterov: no such option"),
        ("+head.in_dim=3", "head.in_dim=3: the run itself sets this"),
        ("+normalizer.dim=3", "normalizer.dim=3: the run itself sets this"),
        ("+logger.csv.folder=x", "logger.csv.folder='x': the run itself sets this"),
        ("+data.loader.x=1", "data.loader: no such option; there are: train_images"),
        ("+loss.x=1", "loss.x: no such option; there are: none"),
        (
            "+evaluation.probes.knnn.k=3",
            "evaluation.probes.knnn={'k': 3}: a Probe is .* evaluation.probes.knn?",
        ),
        ("+evaluation.tasks.x=3", "evaluation.tasks.x=3: a Task is wanted"),
        ("+stages.a.stps=2", "stages.a.stps: no such option; there are: steps, partitions"),
        ("+stages.a.partitions.b.sise=2", "partitions.b.sise: no such option; there are: scale, batch, teachers"),
        ("stages=pocket +stages.small.partitions.all.x=1", "stages.small.partitions.all.x: no such option"),
        ("normalizer._target_=phis_lab.losses.MSE", "normalizer._target_='phis_lab.losses.MSE' is no FeatureMap"),
        (
            "optimizer.optimizer._target_=torch.optim.Adamm",
            "optimizer._target_='torch.optim.Adamm' cannot be",
        ),
        ("strategy._target_=phis_lab.losses.MSE", "is no Single or DataParallel"),
        ("normalizer._target_=os.getcwd", "normalizer._target_='os.getcwd' is no FeatureMap, which is wanted here"),
        ("loss._target_=math.sqrt", "loss._target_='math.sqrt' is no Loss, which is wanted here"),
        ("trainer.max_steps=true", "trainer.max_steps=True: Input should be a valid integer"),
        ("trainer.max_steps='7'", "trainer.max_steps='7': Input should be a valid integer"),
        ("student.depth=0", "student.depth=0: Input should be greater than or equal to 1"),
        ("trainer.precision=bfloat", "trainer.precision='bfloat': Input .* Did you mean bfloat16?"),
        ("student.class_tokens=per_techer", "student.class_tokens='per_techer': Input .* Did you mean per_teacher?"),
    ],
)
def test_what_nothing_reads_is_refused_wherever_it_stands(overrides: str, says: str) -> None:
    with pytest.raises(ValueError, match="refused") as refusal:
        check(composed(*overrides.split()))
    pattern = ".*".join(map(re.escape, says.split(" .* ")))
    assert re.search(pattern, str(refusal.value), re.DOTALL), refusal.value


def test_a_refused_key_is_the_only_problem() -> None:
    with pytest.raises(ValueError, match="refused") as refusal:
        check(composed("+max_steps=4"))
    assert len(str(refusal.value).splitlines()) == 2


def test_what_a_model_does_not_take_is_refused_when_it_is_built() -> None:
    node = composed("teachers=tiny_set", "+teachers.sam_h.architecture.nope=3")["teachers"]["sam_h"]
    with pytest.raises(ValueError, match=r"teachers\.sam_h: .*unexpected keyword argument 'nope'"):
        build(node, "teachers.sam_h")
