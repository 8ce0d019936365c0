"""A proxy distillation in two steps: train, export, and train a second student with the first as its only teacher."""

import torch
from hydra import compose, initialize_config_dir
from torch.testing import assert_close

from phis_lab.commands.export import export_run
from phis_lab.config.assemble import assemble
from phis_lab.config.exported import load_exported
from phis_lab.config.jobs import create_job
from phis_lab.config.option_files import CONF
from phis_lab.config.resolvers import register_resolvers
from phis_lab.engine import train_group
from phis_lab.formats import Format
from phis_lab.runs import read_record

SMALL = [
    "debug=smoke", "logger=none", "augmentation.image_size=32", "student.image_size=32", "data.batch_size=8",
    "data.train_images=64", "trainer.max_steps=4", "trainer.precision=float32", "estimation.steps=2",
    "estimation.warmup_steps=1", "estimation.refresh_every=1", "evaluation.every=4", "evaluation.train_images=20",
    "evaluation.test_images=10", "evaluation.matching_images=10", "student.depth=2",
]  # fmt: skip


def train(folder, *overrides):
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", [*SMALL, *overrides], return_hydra_config=True)
    job = create_job(config, folder)
    train_group(assemble([job], {job.folder: "phis"}))
    return read_record(folder / "result.json")


@torch.no_grad()
def test_the_student_of_a_student_is_trained_and_exported_again(tmp_path):
    train(tmp_path / "first", "teachers=pocket_pair")
    formats = [Format.SAFETENSORS, Format.HUB]
    export_run(tmp_path / "first", tmp_path / "out", formats=formats, standardize_images=40)
    proxy = tmp_path / "out" / "hub"
    second = train(tmp_path / "second", "teachers=proxy", f"teachers.proxy.path={proxy}", "student.width=24")
    assert second.status == "complete"
    facts = second.teachers["proxy"]
    assert facts["layer"] == "exported student:tokens, standardised"
    assert (facts["image_size"], facts["summary_dim"], facts["spatial_dim"]) == (32, 48, 48)
    assert second.teacher_metrics["proxy"].keys() == {"summary", "spatial"}
    assert second.sources["teachers.proxy.path/model.safetensors"].sha256 == facts["sha256"]
    export_run(tmp_path / "second", tmp_path / "small", formats=formats)
    pixels = torch.rand(2, 3, 32, 32)
    _, predictions = load_exported(tmp_path / "small" / "safetensors")(pixels)
    tokens, _ = load_exported(proxy)(pixels)
    assert predictions["proxy"].spatial.shape == tokens.spatial.shape
    assert predictions["proxy"].summary.shape == tokens.summary.shape
    assert_close(load_exported(tmp_path / "small" / "hub")(pixels)[1]["proxy"], predictions["proxy"])
    assert "that of the teachers that it was trained on" in (tmp_path / "small" / "hub" / "README.md").read_text()
