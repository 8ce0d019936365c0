import dataclasses
import inspect
from pathlib import Path

import pytest
from hydra.errors import InstantiationException
from hydra.utils import get_class
from hydra_zen import instantiate
from hydra_zen.third_party.pydantic import pydantic_parser
from omegaconf import OmegaConf

from phis_lab.data import Augmentation, DataModule

CONF = Path(__file__).parents[2] / "conf"
data_options = pytest.mark.parametrize("file", sorted((CONF / "data").glob("*.yaml")), ids=lambda f: f.stem)
augmentations = pytest.mark.parametrize("file", sorted((CONF / "augmentation").glob("*.yaml")), ids=lambda f: f.stem)


def built(file, **changes):
    config = OmegaConf.merge({"seed": 5}, {"option": OmegaConf.load(file)}, {"option": changes})
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
def test_an_augmentation_option_names_exactly_the_arguments_and_builds(file):
    assert set(OmegaConf.load(file)) - {"_target_"} == set(inspect.signature(Augmentation).parameters)
    assert built(file).image_size == 64


def test_the_options_make_the_batches_of_a_run():
    source = built(CONF / "data" / "digits.yaml", train_images=64, batch_size=32)
    data = DataModule(source, built(CONF / "augmentation" / "crop_flip.yaml"), steps=3)
    assert [batch.images.shape for batch in data.train_dataloader()] == [(32, 3, 64, 64)] * 3
