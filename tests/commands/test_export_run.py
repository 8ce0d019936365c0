"""A run of the engine is exported as the student that it trained."""

import torch
from hydra import compose, initialize_config_dir
from torch.testing import assert_close

from phis_lab.commands.export import export_run
from phis_lab.config.assemble import assemble
from phis_lab.config.exported import load_exported
from phis_lab.config.jobs import create_job, finished_job, rebuild, restore
from phis_lab.config.option_files import CONF
from phis_lab.config.resolvers import register_resolvers
from phis_lab.engine import train_group

SMALL = [
    "debug=smoke", "logger=csv", "augmentation.image_size=32", "student.image_size=32", "student.spectral=true",
    "student.class_tokens=per_teacher", "student.cpe_max_size=64", "data.batch_size=8", "data.train_images=64",
    "trainer.max_steps=6", "trainer.precision=float32", "estimation.steps=4", "estimation.warmup_steps=2",
    "estimation.refresh_every=1", "evaluation.every=6", "evaluation.train_images=40", "evaluation.test_images=20",
    "evaluation.matching_images=10",
]  # fmt: skip


@torch.no_grad()
def test_a_run_of_the_engine_is_exported_as_its_arm_predicts_in_the_teachers_space(tmp_path):
    register_resolvers()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", SMALL, return_hydra_config=True)
    job = create_job(config, tmp_path / "run")
    train_group(assemble([job], {job.folder: "phis"}))
    export_run(job.folder, tmp_path / "out")
    group = rebuild([finished_job(job.folder)])
    (run,) = group.runs
    arm = run.arm
    restore(group, run)
    pixels = torch.rand(3, 3, 32, 32)
    _, normalised = arm.predict(pixels)
    _, predictions = load_exported(tmp_path / "out")(pixels)
    for teacher, prediction in predictions.items():
        exact = arm.space(teacher).restored(normalised[teacher])
        for kind, expected in zip(prediction, exact, strict=True):
            assert (kind is None) == (expected is None)
            if expected is not None:
                assert_close(kind, expected, atol=1e-5 * expected.std().item(), rtol=1e-5)
