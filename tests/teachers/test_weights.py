"""Finding and fingerprinting weights."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import huggingface_hub
import pytest
import torch

from phis_lab.teachers import MissingWeightsError, Weights, check_available, open_clip, timm
from phis_lab.teachers import weights as module
from phis_lab.teachers.weights import HubFile, find_weights, local_file

HUB = HubFile("owner/name", ("best.safetensors", "older.bin"))


def no_network(*args: object, **kwargs: object) -> None:
    raise OSError("no route to host")


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mock]:
    """The hub's client; it answers, and forgets after the test whether it did."""
    client = Mock()
    monkeypatch.setattr(huggingface_hub, "get_session", lambda: client)
    module.hub_unreachable.cache_clear()
    yield client
    module.hub_unreachable.cache_clear()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "network.safetensors"
    file.write_bytes(b"parameters")
    return file


def test_a_files_fingerprint_is_its_sha256(file: Path) -> None:
    assert Weights.of_file(file).sha256 == hashlib.sha256(b"parameters").hexdigest()


def test_a_random_initialisations_fingerprint_depends_on_values_and_not_on_order() -> None:
    state = {"a": torch.zeros(2), "b": torch.ones(2)}
    fingerprint = Weights.of_parameters(state)
    assert Weights.of_parameters(dict(reversed(state.items()))) == fingerprint
    assert Weights.of_parameters({**state, "a": torch.full((2,), 1e-7)}) != fingerprint
    assert Weights.of_parameters({"a": state["b"], "b": state["a"]}) != fingerprint


def test_a_folder_stands_for_the_one_file_in_it(file: Path) -> None:
    (file.parent / "pytorch_model.bin").touch()
    assert local_file(str(file.parent)) == file


def test_a_folder_with_two_files_of_a_kind_is_refused_by_naming_them(file: Path) -> None:
    (file.parent / "other.safetensors").touch()
    with pytest.raises(MissingWeightsError, match=r"\['network.safetensors', 'other.safetensors'\]"):
        local_file(str(file.parent))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match=r"no file with suffix .safetensors"):
        local_file(str(tmp_path))


def test_no_weights_means_random_initialisation() -> None:
    assert find_weights("t", None, HUB) is None


def test_the_hub_is_asked_for_the_best_name_that_it_has(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *args: None)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    there = SimpleNamespace(siblings=[SimpleNamespace(rfilename="older.bin")])
    monkeypatch.setattr(huggingface_hub, "model_info", lambda *args, **kwargs: there)
    asked = []
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *args: asked.append(args) or str(file))
    assert find_weights("t", "hub", HUB) == (file, "hub owner/name/network.safetensors")
    assert asked == [("owner/name", "older.bin")]


def test_a_file_in_the_hubs_cache_needs_no_network(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *args: str(file))
    monkeypatch.setattr(huggingface_hub, "model_info", no_network)
    found = find_weights("t", "hub", HUB)
    assert found is not None
    assert found[0] == file


def test_a_repository_may_be_named_even_where_none_is_published() -> None:
    assert timm.hub_file("vit_giant_patch14_224") is None
    assert timm.hub_file("vit_giant_patch14_224", "hub:me/mine") == HubFile("me/mine", timm.HUB_NAMES)
    mine = open_clip.hub_file("ViT-H-14-378-quickgelu", "dfn5b", "hub:me/mine")
    assert mine == HubFile("me/mine", open_clip.HUB_NAMES)


def test_the_weights_of_a_named_repository_are_fetched(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *args: str(file))
    weights = "hub:me/mine"
    found = find_weights("t", weights, timm.hub_file("resnet18", weights))
    assert found == (file, "hub me/mine/network.safetensors")


def test_a_hub_that_does_not_answer_is_tried_once(monkeypatch: pytest.MonkeyPatch, hub: Mock) -> None:
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *args: None)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    hub.head.side_effect = OSError("no route to host")
    for _ in range(4):
        with pytest.raises(MissingWeightsError, match=r"did not answer for owner/name \(no route to host\)"):
            find_weights("t", "hub", HUB)
    assert hub.head.call_count == 1


def test_offline_is_said_without_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub, "model_info", no_network)
    with pytest.raises(MissingWeightsError, match="HF_HUB_OFFLINE is set and owner/name is not in the hub's cache"):
        find_weights("t", "hub", HUB)


def test_an_option_without_a_hub_is_refused() -> None:
    with pytest.raises(MissingWeightsError, match=r"teachers\.t: no hub repository is known"):
        find_weights("t", "hub", None)


def test_all_missing_weights_of_a_set_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *args: None)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub, "model_info", no_network)
    clip = {
        "_target_": "phis_lab.teachers.open_clip.OpenClipTeacher",
        "model": "ViT-H-14-378-quickgelu",
        "pretrained": "dfn5b",
        "weights": "hub",
    }
    sam = {
        "_target_": "phis_lab.teachers.timm.TimmTeacher",
        "model": "samvit_huge_patch16.sa1b",
        "weights": "/nowhere",
    }
    toy = {"_target_": "toy_teacher.Toy"}
    with pytest.raises(MissingWeightsError) as refusal:
        check_available({"clip": clip, "sam": sam, "toy": toy})
    first, second = str(refusal.value).splitlines()
    assert first.startswith(
        "teachers.clip: the hub did not answer for apple/DFN5B-CLIP-ViT-H-14-378 (no route to host)"
    )
    assert "teachers.clip.weights=/path/to/file" in first
    assert second.startswith("teachers.sam: there is no file or folder '/nowhere'")


def test_a_set_that_is_available_passes() -> None:
    check_available({"toy": {"_target_": "toy_teacher.Toy"}})
