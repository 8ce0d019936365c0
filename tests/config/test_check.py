"""Bad options are refused with their names before anything is built."""

import pytest

from phis_lab.config.build import build
from phis_lab.config.check import check

OPTIMIZER = {
    "_target_": "phis_lab.distill.OptimizerRecipe",
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
    node = {"_target_": "phis_lab.distill.TrainerOptions", "max_steps": 3, "precision": "half"}
    with pytest.raises(ValueError, match=r"trainer\.precision='half': Input should be 'auto', 'float32' or 'bfloat16'"):
        check({"trainer": node})


def test_options_inside_collections_are_checked_too() -> None:
    node = {
        "_target_": "phis_lab.distill.Evaluation",
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
        "_target_": "phis_lab.distill.OnlineEstimation",
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
