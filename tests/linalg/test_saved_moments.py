"""Files of moments that cannot be what they are taken for."""

import pytest
import torch
from safetensors.torch import save_file

from phis_lab.linalg import Moments
from phis_lab.normalizers import Standardize
from phis_lab.whole_files import save_sealed


@pytest.fixture
def saved(tmp_path):
    moments = Moments(5, provenance={"teacher": "xfeat"}).update(torch.randn(30, 5))
    path = tmp_path / "xfeat.safetensors"
    moments.save(path)
    return moments, path


@pytest.mark.parametrize("kept", [0, 4, 20, 200, -1])
def test_a_file_that_is_cut_off_is_refused_by_its_name(saved, kept):
    _, path = saved
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"xfeat\.safetensors is cut off, or no safetensors file .*phis-lab stats"):
        Moments.load(path)


def test_a_file_of_something_else_is_refused_with_what_it_holds(tmp_path):
    Standardize(5).fit(Moments(5, diagonal=True).update(torch.randn(30, 5))).save(tmp_path / "n.safetensors")
    with pytest.raises(ValueError, match=r"n\.safetensors holds no moments but the tensors .*'scale'"):
        Moments.load(tmp_path / "n.safetensors")


def test_text_is_refused(tmp_path):
    (tmp_path / "m.safetensors").write_text("mean,std\n0,1\n" * 50)
    with pytest.raises(ValueError, match=r"cut off, or no safetensors file"):
        Moments.load(tmp_path / "m.safetensors")


@pytest.mark.parametrize("metadata", [{}, {"moments_format": "1"}, {"moments_format": "3"}])
def test_another_version_of_the_format_is_refused_with_both(saved, metadata):
    moments, path = saved
    save_sealed(path, moments.state_dict(), metadata)
    found = metadata.get("moments_format", "0")
    with pytest.raises(ValueError, match=rf"format {found}, this version of phis_lab reads format 2"):
        Moments.load(path)


def test_a_file_without_a_digest_is_refused(saved):
    moments, path = saved
    save_file(moments.state_dict(), path, metadata={"moments_format": "2"})
    with pytest.raises(ValueError, match=r"has no digest of its content: another program or version wrote it; write"):
        Moments.load(path)


def test_tensors_of_shapes_that_disagree_are_refused(saved):
    moments, path = saved
    save_sealed(path, moments.state_dict() | {"scatter": torch.zeros(4, 4).double()}, {"moments_format": "2"})
    with pytest.raises(ValueError, match=r"\(5, 5\).*\(4, 4\)"):
        Moments.load(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no saved moments at .*nowhere\.safetensors; `phis-lab stats`"):
        Moments.load(tmp_path / "nowhere.safetensors")


def test_the_version_is_no_part_of_the_provenance(saved):
    assert Moments.load(saved[1]).provenance == {"teacher": "xfeat"}
