from dataclasses import replace

import pytest
import torch
from drawn_subjects import drawn_images, drawn_subject

from phis_lab.evals.tasks.pictures import LARGEST_FILE, PICTURES_FILE, Colours, Pictures, read_pictures
from phis_lab.features import Features


@pytest.fixture
def subject(tmp_path):
    return replace(drawn_subject(), folder=tmp_path)


def test_everyone_who_sees_the_images_has_a_column_of_pictures(subject):
    assert Pictures(images=5, gallery=20, neighbours=2)(subject) == {}
    found = read_pictures(subject.folder)
    teachers = {f"{kind}/{name}" for kind in ("teacher", "prediction") for name in ("whole", "local")}
    assert set(found) == {"image", "student", "neighbour/1", "neighbour/2"} | teachers
    assert {(pixels.dtype, len(pixels), pixels.shape[-1]) for pixels in found.values()} == {(torch.uint8, 5, 3)}
    images, _ = drawn_images(5, seed=1)
    assert torch.equal(found["image"], (255 * images).round().to(torch.uint8).permute(0, 2, 3, 1))
    assert torch.equal(found["teacher/whole"], found["prediction/whole"])  # of a student without error


def test_neighbours_are_other_images_of_the_same_kind(subject):
    Pictures(images=6, gallery=60, neighbours=1)(subject)
    found = read_pictures(subject.folder)
    bright, alike = ((found[name].float().mean(dim=(1, 2))).argmax(dim=1) for name in ("image", "neighbour/1"))
    assert torch.equal(bright, alike)
    assert not torch.equal(found["image"], found["neighbour/1"])


def test_few_images_have_few_neighbours_and_large_ones_are_small_in_the_file(tmp_path):
    Pictures(images=2, gallery=2, neighbours=3)(replace(drawn_subject(side=200), folder=tmp_path))
    found = read_pictures(tmp_path)
    assert [name for name in found if name.startswith("neighbour")] == ["neighbour/1"]
    assert found["image"].shape == (2, 96, 96, 3)
    assert torch.equal(found["neighbour/1"], found["image"].flip(0))


def test_equal_features_have_equal_colours_in_one_space():
    x = torch.randn(3, 4, 4, 8, generator=torch.Generator().manual_seed(0))
    colours = Colours.of(x)
    assert torch.equal(colours(x)[:2], colours(x[:2]))
    assert colours(x).amax() == 255
    assert not torch.equal(colours(x), colours(x + 1))


@pytest.mark.parametrize("channels", [1, 2])
def test_features_of_few_channels_leave_colours_dark(channels):
    x = torch.randn(2, 2, 2, channels, generator=torch.Generator().manual_seed(0))
    drawn = Colours.of(x)(x)
    assert drawn[..., :channels].any()
    assert not drawn[..., channels:].any()


def test_features_that_never_change_are_black():
    assert not Colours.of(torch.ones(2, 2, 2, 4))(torch.ones(2, 2, 2, 4)).any()


def test_a_student_without_patches_has_no_column(subject):
    mute = replace(subject, tokens=lambda images: Features(images.flatten(1), None))
    Pictures(images=2, gallery=4)(mute)
    assert "student" not in read_pictures(subject.folder)


def test_without_a_folder_or_with_one_that_cannot_be_written_the_run_goes_on(subject, caplog):
    assert Pictures()(drawn_subject()) == {}
    (subject.folder / "file").touch()
    assert Pictures(images=2, gallery=4)(replace(subject, folder=subject.folder / "file")) == {}
    assert "were not written" in caplog.text


def test_a_file_of_something_else_is_refused(subject):
    path = subject.folder / PICTURES_FILE
    path.write_bytes(b"no pictures")
    with pytest.raises(ValueError, match="no safetensors file"):
        read_pictures(subject.folder)
    with path.open("wb") as file:
        file.truncate(LARGEST_FILE + 1)
    with pytest.raises(ValueError, match="is larger than any"):
        read_pictures(subject.folder)
