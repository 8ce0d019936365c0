"""The experiments of UNIC and TinTeM say what their papers' rows say."""

import pytest
from hydra import compose

from phis_lab.config.assemble import assemble
from phis_lab.config.check import check
from phis_lab.config.jobs import create_job
from phis_lab.config.resolvers import to_plain
from phis_lab.engine import Arm

ROWS = {  # standardised, dedicated projectors, ladder, dropping
    "base": (False, False, False, 0.0),
    "standardized": (True, False, False, 0.0),
    "dedicated": (True, True, False, 0.0),
    "ladder": (True, True, True, 0.0),
    "full": (True, True, True, 0.25),
}


def built(*overrides: str, tmp_path: object) -> Arm:
    config = compose("config", ["debug=smoke", "logger=none", *overrides], return_hydra_config=True)
    job = create_job(config, f"{tmp_path}/run")
    check(job.config)
    group = assemble([job], {job.folder: job.label()})
    return group.runs[0].arm


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_unics_table_1_adds_one_part_to_the_row_before(row: str, tmp_path: object) -> None:
    standardised, dedicated, ladder, probability = ROWS[row]
    alike = [] if dedicated else ["~teachers.dfn_clip"]  # whose summary is narrower than its patches
    arm = built(f"experiment=unic/{row}", *alike, tmp_path=tmp_path)
    methods = {type(space.spatial).__name__ for space in arm.spaces.values()}
    assert methods == {"EMAStandardize" if standardised else "Identity"}
    assert any(space.summary is not None for space in arm.spaces.values()) == standardised
    shared = arm.student.summary_heads["siglip"] is arm.student.spatial_heads["siglip"]
    assert shared != dedicated
    blocks = set(arm.student.spatial_heads["sam_h"].projectors)
    assert blocks == ({str(block) for block in range(1, 7)} if ladder else {"6"})
    (balancer,) = arm.balancers.values()
    assert balancer.probability == probability


def test_the_experiments_of_a_folder_have_names_of_their_own() -> None:
    folders = {"unic": list(ROWS), "tintem": ["full", "pca", "random", "proteus"]}
    for folder, names in folders.items():
        labels = {
            to_plain(compose("config", [f"experiment={folder}/{name}"], return_hydra_config=True))["label"]
            for name in names
        }
        assert len(labels) == len(names)


@pytest.mark.parametrize("name", ["full", "pca", "random", "proteus"])
def test_tintem_matches_the_student_in_its_own_space_and_proteus_in_the_teachers(name: str, tmp_path: object) -> None:
    sets = ["teachers=tiny_set", "~teachers.dfn_clip", "~teachers.sam_h", "student.width=24"]
    arm = built(f"experiment=tintem/{name}", *sets, tmp_path=tmp_path)
    own = name != "proteus"
    assert all(arm.space(teacher).is_invertible != own for teacher in arm.student.teachers)
    assert arm.student.has_heads != own


def test_the_papers_scales_bring_their_own_teachers_and_students() -> None:
    for experiment, scale, teacher, patch in (
        ("unic/full", "unic_paper", "ibot_b", 16),
        ("tintem/full", "tintem_paper", "dinov2_s", 14),
    ):
        overrides = [f"experiment={experiment}", f"scale={scale}", "data.root=x"]
        config = to_plain(compose("config", overrides, return_hydra_config=True))
        check(config)
        assert teacher in config["teachers"]
        assert config["student"]["patch_size"] == patch
