"""What the golden runs train: arms of a few groups, which between them choose every option of a method."""

from collections.abc import Mapping

SMALL = (
    "debug=smoke", "augmentation.image_size=32", "student.image_size=32", "student.depth=3", "data.batch_size=8",
    "data.train_images=64", "trainer.max_steps=8", "trainer.checkpoint_every=100", "trainer.log_every=1",
    "online.steps=5", "online.warmup_steps=2", "online.refresh_every=2", "evaluation.every=4",
    "evaluation.train_images=40", "evaluation.test_images=20", "evaluation.matching_images=10", "data.seed=0",
    "trainer.accelerator=cpu", "trainer.precision=float32", "trainer.teacher_precision=float32",
    "~evaluation.probes.linear_probe",
)  # fmt: skip

ALIKE = ("~teachers.dfn_clip", "~teachers.sam_h", "student.width=24")
"""Teachers whose summaries are as wide as their patches, and a student that is narrower."""

ONE = ("~teachers.dfn_clip", "~teachers.siglip", "~teachers.sam_h", "evaluation.every=null")

SAVED = "{folder}/saved"
"""Moments that one recipe saves and a later one reads."""

HEADLESS = ("head=identity", "loss=tintem", *ALIKE)

ONLINE = {
    "phis": ("normalizer=phis",),
    "phis_of_a_drawing_student": ("normalizer=phis", "seed=1", "student.drop_path=0.3", "student.spectral=true"),
    "phis_in_bfloat16": ("normalizer=phis", "trainer.precision=bfloat16", "optimizer.clip=0.1"),
    "identity": ("normalizer=identity", "loss=hybrid_smooth_l1", "balancer=adaloss"),
    "global_standardize": ("normalizer=global_standardize", "loss=cosine"),
    "standardize": ("normalizer=standardize", "loss=smooth_l1", "head=projector"),
    "center_scale": ("normalizer=center_scale", "loss=hybrid_mse", "student.class_tokens=per_teacher"),
    "pca_scale": ("normalizer=pca_scale", "loss=specmatch"),
    "pca_whiten": ("normalizer=pca_whiten", "loss=dampened_mse"),
    "zca_whiten": ("normalizer=zca_whiten", "loss=proteus", "head=linear"),
    "hadamard_whiten": ("normalizer=hadamard_whiten", "loss=angle_summary"),
    "random_rotation_scale": ("normalizer=random_rotation_scale", "student.shared_heads=true"),
    "partial_whiten": ("normalizer=partial_whiten", "loss=proteus", "balancer=adaloss"),
    "ema_standardize": ("normalizer=ema_standardize", "loss=unic", "head=ladder", "balancer=teacher_dropping"),
    "batch_standardize": ("normalizer=batch_standardize", "loss=unic", "balancer=uniform"),
}
"""Arms of one group."""

RECIPES: Mapping[str, tuple[str, ...]] = {
    **ONLINE,
    "teacher_in_the_middle": ("normalizer=teacher_in_the_middle", *HEADLESS),
    "pca_truncation": ("normalizer=pca_truncation", *HEADLESS),
    "random_projection": ("normalizer=random_projection", *HEADLESS),
    "estimation_saved": ("normalizer=phis", f"estimation.save={SAVED}", *ONE),
    "estimation_offline": ("normalizer=phis", "estimation=offline", f"estimation.moments={SAVED}", *ONE),
    "estimation_first_batch": ("normalizer=standardize", "estimation=first_batch", *ONE),
    "estimation_batch": ("normalizer=standardize", "estimation=batch", *ONE),
    "estimation_running": ("normalizer=phis", "estimation=running", "estimation.refresh_every=2", *ONE),
    "estimation_running_first": ("normalizer=phis", "estimation=running_first", *ONE),
    "stages": (
        "normalizer=phis", "balancer=adaloss", "stages=phis", "trainer.max_steps=12", "online.steps=3",
        "optimizer.frozen_body_steps=1",
    ),
    "one_teacher_per_image": ("normalizer=ema_standardize", "loss=unic", "stages=one_teacher_per_image"),
    "probed": ("normalizer=phis", "+evaluation.probes.linear_probe={_target_: phis_lab.evals.LinearProbe}", *ONE),
    "fixed_views_in_a_store": ("normalizer=phis", "augmentation.views=2", "teachers.store={folder}/store", *ONE),
    "shifted_crops": (
        "normalizer=phis", "augmentation.shift=16", "student.image_size=64", "augmentation.image_size=64", *ONE
    ),
    "on_the_larger_grid": ("normalizer=phis", "teachers.match=larger", "teachers.resize=bilinear", *ONE),
}  # fmt: skip

IN_TWO_PROCESSES: Mapping[str, tuple[str, ...]] = {
    "ddp_phis": ("normalizer=phis", "balancer=adaloss", "student.drop_path=0.3"),
    "ddp_batch_standardize": ("normalizer=batch_standardize", "loss=unic", "balancer=teacher_dropping"),
    "ddp_angle_summary": ("normalizer=pca_whiten", "loss=angle_summary", "optimizer.clip=1.0"),
}
"""Likewise in two gloo processes."""
