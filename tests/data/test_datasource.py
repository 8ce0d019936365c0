import dataclasses
import inspect
from pathlib import Path
from typing import get_type_hints

import pytest
from hydra.errors import InstantiationException
from hydra.utils import get_class
from hydra_zen import instantiate
from hydra_zen.third_party.pydantic import pydantic_parser
from omegaconf import OmegaConf
from pydantic import TypeAdapter, ValidationError

from phis_lab.data import Augmentation, DataModule
from phis_lab.data.digits import Digits

CONF = Path(__file__).parents[2] / "conf"
data_options = pytest.mark.parametrize("file", sorted((CONF / "data").glob("*.yaml")), ids=lambda f: f.stem)
augmentations = pytest.mark.parametrize("file", sorted((CONF / "augmentation").glob("*.yaml")), ids=lambda f: f.stem)


def built(file, **changes):
    rest = {"seed": 5, "student": {"image_size": 48}}
    config = OmegaConf.merge(rest, {"option": OmegaConf.load(file)}, {"option": changes})
    return instantiate(config.option, _target_wrapper_=pydantic_parser)


@data_options
def test_a_data_option_names_exactly_the_fields_of_its_data_set(file):
    option = OmegaConf.load(file)
    fields = {field.name for field in dataclasses.fields(get_class(option._target_))}
    assert set(option) - {"_target_"} == fields


@data_options
def test_a_data_option_builds_its_data_set_with_the_run_s_seed(file):
    root = {"root": "somewhere"} if "root" in set(OmegaConf.load(file)) else {}
    assert built(file, **root).seed == 5
    with pytest.raises(InstantiationException, match="batch_size"):
        built(file, batch_size="many", **root)


@augmentations
def test_an_augmentation_option_names_exactly_the_arguments_and_takes_the_student_s_image_size(file):
    assert set(OmegaConf.load(file)) - {"_target_"} == set(inspect.signature(Augmentation).parameters)
    assert built(file).image_size == 48


@pytest.mark.parametrize("file", sorted((CONF / "student").glob("*.yaml")), ids=lambda f: f.stem)
def test_every_student_has_an_image_size_for_the_augmentation_to_take(file):
    assert OmegaConf.load(file).image_size > 0


@pytest.mark.parametrize(
    ("option", "value"), [("batch_size", 0), ("train_images", 0), ("test_images", -1), ("workers", -1)]
)
def test_an_impossible_size_is_refused_when_a_data_set_is_made_and_by_its_annotation(option, value):
    with pytest.raises(ValueError, match=rf"data\.{option} is at least [01], got {value}"):
        Digits(**{option: value})
    with pytest.raises(ValidationError, match="greater than or equal to"):
        TypeAdapter(get_type_hints(Digits.__init__, include_extras=True)[option]).validate_python(value)


def test_the_options_make_the_batches_of_a_run():
    source = built(CONF / "data" / "digits.yaml", train_images=64, batch_size=32)
    data = DataModule(source, built(CONF / "augmentation" / "crop_flip.yaml"), steps=3)
    assert [step["all"].images.shape for step in data.train_dataloader()] == [(32, 3, 48, 48)] * 3
