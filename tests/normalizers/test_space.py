"""How one teacher is matched: what its kinds of features become, and the way back."""

import pytest
import torch
from normalizer_samples import features, moments_of
from torch.testing import assert_close

from phis_lab.features import Features
from phis_lab.guards import PartError
from phis_lab.normalizers import EMAStandardize, PCATruncation, PhiS, TeacherInTheMiddle, TeacherSpace

DIM, SUMMARY = 12, 7


def of_teacher() -> Features:
    tokens = features(DIM)[:8].float().view(2, 2, 2, DIM)
    return Features(torch.randn(2, SUMMARY), tokens)


def phis() -> PhiS:
    return PhiS(DIM).fit(moments_of(features(DIM)))


def test_patches_are_normalised_and_the_summary_stays_and_both_come_back():
    space, given = TeacherSpace("clip", phis()), of_teacher()
    targets = space.targets(given)
    assert targets.summary is given.summary
    assert torch.equal(targets.spatial, space.spatial(given.spatial))
    restored = space.restored(targets)
    assert_close(restored.spatial, given.spatial, rtol=1e-4, atol=1e-4)
    assert restored.summary is given.summary
    assert space.comparable(targets, given)[1] is given


def test_targets_from_halves_are_targets_of_their_own_and_the_way_back_stays_exact():
    exact, split = TeacherSpace("clip", phis()), TeacherSpace("clip", phis(), products="bfloat16x3")
    given = of_teacher()
    targets = split.targets(given)
    assert not torch.equal(targets.spatial, exact.targets(given).spatial)
    assert_close(targets.spatial, exact.targets(given).spatial, rtol=0, atol=1e-4)
    assert torch.equal(split.restored(targets).spatial, exact.restored(targets).spatial)
    assert split.content() != exact.content() == TeacherSpace("clip", phis()).content()


def test_a_summary_with_a_map_of_its_own_is_mapped_by_that():
    maps = [EMAStandardize(dim).eval() for dim in (DIM, SUMMARY)]
    maps[1].scale = 3 * maps[1].scale
    space, given = TeacherSpace("clip", *maps), of_teacher()
    targets = space.targets(given)
    assert_close(targets.summary, 3 * given.summary, rtol=1e-5, atol=1e-5)
    assert_close(space.restored(targets).summary, given.summary)
    assert space.target_dims(SUMMARY, DIM) == (SUMMARY, DIM)


def test_a_compression_maps_both_kinds_and_wants_them_of_one_width():
    space = TeacherSpace("clip", PCATruncation(DIM, 5))
    assert space.target_dims(DIM, DIM) == (5, 5)
    assert space.target_dims(None, DIM) == (None, 5)
    with pytest.raises(ValueError, match=r"those of teacher 'clip' have 7 and 12 channels.*teachers.clip.summary=null"):
        space.target_dims(SUMMARY, DIM)


def test_a_teacher_without_patches_is_matched_as_it_is():
    space, given = TeacherSpace("face", None), Features(torch.randn(2, SUMMARY), None)
    assert space.target_dims(SUMMARY, None) == (SUMMARY, None)
    assert space.targets(given) == given == space.restored(given)
    assert space.training_loss(given) == {}
    assert not space.needs_covariance


def test_only_maps_that_solve_for_directions_need_the_covariance():
    assert TeacherSpace("clip", phis()).needs_covariance
    assert not TeacherSpace("clip", EMAStandardize(DIM)).needs_covariance


def test_a_learned_map_trains_itself_where_there_are_patches():
    space = TeacherSpace("clip", TeacherInTheMiddle(DIM, 5))
    patches = of_teacher().spatial
    assert list(space.training_loss(Features(torch.randn(2, DIM), patches))) == ["local", "global"]
    assert space.training_loss(Features(torch.randn(2, DIM), None)) == {}


def test_a_map_of_another_shape_is_refused_by_the_teachers_name():
    space = TeacherSpace("clip", phis())
    space.spatial.out_dim = 5
    with pytest.raises(PartError, match=r"the normaliser of teacher 'clip' \(PhiS\) gives float32 \[2, 2, 2, 12\]"):
        space.targets(of_teacher())
