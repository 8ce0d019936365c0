"""Finding the network of a checkpoint."""

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.testing import assert_close

from phis_lab.teachers import check_available
from phis_lab.teachers.timm import TimmTeacher

MODEL = "vit_tiny_patch16_224"
SMALL = {"embed_dim": 24, "depth": 2, "num_heads": 2}
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """Parameters of a small ViT at 32 px."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return timm.create_model(MODEL, img_size=32, **SMALL).state_dict()


def teacher(file: Path, model: str = MODEL, **options: object) -> TimmTeacher:
    option = {"model": model, "image_size": 32, "summary": "class_token", "architecture": SMALL, **options}
    option |= {"weights": str(file)}
    check_available({"one": {"_target_": "phis_lab.teachers.timm.TimmTeacher", **option}})
    return TimmTeacher("one", **option)


def prefixed(state: State, prefix: str) -> State:
    return {prefix + name: value for name, value in state.items()}


def without_head(state: State) -> State:
    return {name: value for name, value in state.items() if not name.startswith("head.")}


def with_classes(state: State, classes: int) -> State:
    return {**state, "head.weight": torch.zeros(classes, 24), "head.bias": torch.zeros(classes)}


WRAPPED = {
    "no head": without_head,
    "ten classes": lambda state: with_classes(state, 10),
    "half precision": lambda state: {name: value.half() for name, value in state.items()},
    "with gradients": lambda state: {name: nn.Parameter(value.clone()) for name, value in state.items()},
    "within data parallelism": lambda state: {"state_dict": prefixed(state, "module."), "epoch": 3},
    "of Lightning": lambda state: {"state_dict": prefixed(state, "model."), "hyper_parameters": {"lr": 0.1}},
    "compiled": lambda state: prefixed(state, "_orig_mod."),
    "compiled within data parallelism": lambda state: {"model": prefixed(state, "module._orig_mod.")},
    "of a detector": lambda state: {"model_state": prefixed(state, "backbone.") | {"neck.weight": torch.ones(2)}},
    "of DINO": lambda state: {"teacher": prefixed(state, "module.backbone."), "student": {}},
    "averaged": lambda state: {**prefixed(state, "module."), "n_averaged": torch.tensor(7)},
    "with an optimiser": lambda state: {"model": state, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_a_network_is_found_in_whatever_it_is_wrapped(state: State, tmp_path: Path, kind: str) -> None:
    torch.save(WRAPPED[kind](state), tmp_path / "w.pth")
    loaded = teacher(tmp_path / "w.pth").network.state_dict()
    exact = 1e-3 if kind == "half precision" else 0
    for name, value in without_head(state).items():
        assert_close(loaded[name], value, rtol=exact, atol=exact)


def test_what_is_taken_off_and_what_is_not_used_is_told(
    state: State, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    content = {"state_dict": prefixed(state, "module."), "ema": list(state.values())}
    torch.save(content, tmp_path / "w.pth")
    source = teacher(tmp_path / "w.pth").weights.source
    file = tmp_path / "w.pth"
    assert source == f"{file}, weights_key=state_dict.module"
    assert f"{file}: the network is 'state_dict.module'; 'module.' is taken off its names" in caplog.messages
    assert f"{file}: 2 tensors are of no use here: head.bias, head.weight" in caplog.messages
    assert f"{file}: it also holds ema, of no use here" in caplog.messages


def test_position_embeddings_of_another_size_are_resampled_and_that_is_told(
    state: State, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    torch.save(state, tmp_path / "w.pth")
    assert teacher(tmp_path / "w.pth", image_size=64).network.pos_embed.shape == (1, 17, 24)
    assert f"{tmp_path / 'w.pth'}: resampled to the image size: pos_embed" in caplog.messages


def scaled(state: State) -> State:
    return {name: 2 * value for name, value in state.items()}


def two_networks(state: State) -> dict[str, Mapping[str, object]]:
    return {
        "model, model_ema": {"model": state, "model_ema": scaled(state)},
        "student.backbone, teacher.backbone": {
            "student": prefixed(state, "backbone."),
            "teacher": prefixed(scaled(state), "backbone."),
        },
        "state_dict.model, state_dict.ema_model": {
            "state_dict": prefixed(state, "model.") | prefixed(scaled(state), "ema_model.")
        },
    }


@pytest.mark.parametrize("names", two_networks({}))
def test_a_file_of_two_networks_asks_for_one_of_them(state: State, tmp_path: Path, names: str) -> None:
    file, keys = tmp_path / "w.pth", names.split(", ")
    torch.save(two_networks(state)[names], file)
    with pytest.raises(ValueError, match=r"holds 2 networks that fit, .*: say which with weights_key") as refusal:
        teacher(file)
    assert all(key in str(refusal.value) for key in keys)
    first, second = (teacher(file, weights_key=key) for key in keys)
    assert_close(first.network.norm.weight, state["norm.weight"], rtol=0, atol=0)
    assert_close(second.network.norm.weight, 2 * state["norm.weight"], rtol=0, atol=0)
    assert first.weights.source.endswith(f"weights_key={keys[0]}")
    assert first.layer != second.layer  # they have one file, and so one fingerprint


def test_the_first_key_alone_names_a_network(state: State, tmp_path: Path) -> None:
    torch.save(two_networks(state)["student.backbone, teacher.backbone"], tmp_path / "w.pth")
    assert teacher(tmp_path / "w.pth", weights_key="teacher").weights.source.endswith("weights_key=teacher.backbone")
    with pytest.raises(ValueError, match=r"has no network weights_key=ema; it has student.backbone, teacher.backbone"):
        teacher(tmp_path / "w.pth", weights_key="ema")


def other_network(state: State, change: str) -> State:
    changes: dict[str, State] = {
        "more blocks": {f"blocks.2.{name[9:]}": value for name, value in state.items() if name.startswith("blocks.1.")},
        "layer scale": {f"blocks.{block}.ls1.gamma": torch.ones(24) for block in (0, 1)},
        "registers": {"reg_token": torch.zeros(1, 4, 24)},
        "a norm before the blocks": {"norm_pre.weight": torch.ones(24), "norm_pre.bias": torch.zeros(24)},
        "a wider patch": {"patch_embed.proj.weight": torch.zeros(24, 3, 32, 32)},
        "a distilled token": {"dist_token": torch.zeros(1, 1, 24), "pos_embed": torch.zeros(1, 6, 24)},
    }
    return {**state, **changes[change]}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("more blocks", "12 are unexpected (blocks.2.attn.proj.bias, "),
        ("layer scale", "2 are unexpected (blocks.0.ls1.gamma, blocks.1.ls1.gamma)"),
        ("registers", "1 are unexpected (reg_token)"),
        ("a norm before the blocks", "2 are unexpected (norm_pre.bias, norm_pre.weight)"),
        ("a wider patch", "1 have another shape (patch_embed.proj.weight: [24, 3, 32, 32] for [24, 3, 16, 16])"),
        ("a distilled token", "1 have another shape (pos_embed: [1, 6, 24] for [1, 5, 24])"),
    ],
)
def test_another_network_is_refused_in_a_sentence(state: State, tmp_path: Path, change: str, told: str) -> None:
    torch.save({"model": other_network(state, change)}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="does not hold the parameters of vit_tiny_patch16_224: ") as refusal:
        teacher(tmp_path / "w.pth")
    assert told in str(refusal.value)
    assert len(str(refusal.value)) < 500


def test_missing_parameters_are_counted_with_three_examples(state: State, tmp_path: Path) -> None:
    rest = {name: value for name, value in state.items() if not name.startswith("blocks.1.")}
    torch.save(rest | {"blocks.9.weight": torch.ones(2)}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"w\.pth does not hold") as refusal:
        teacher(tmp_path / "w.pth")
    assert str(refusal.value).endswith(
        "12 of the 30 tensors that its features depend on are missing (blocks.1.attn.proj.bias, "
        "blocks.1.attn.proj.weight, blocks.1.attn.qkv.bias, ...), 1 are unexpected (blocks.9.weight)"
    )


def test_the_norm_of_a_pooling_counts_where_the_summary_is_pooled(state: State, tmp_path: Path) -> None:
    averaged = {"fc_norm" + name[4:] if name.startswith("norm.") else name: value for name, value in state.items()}
    torch.save({name: value for name, value in averaged.items() if "fc_norm" not in name}, tmp_path / "w.pth")
    options = {"architecture": {**SMALL, "global_pool": "avg"}, "spatial": "before_norm"}
    teacher(tmp_path / "w.pth", summary=None, **options)
    with pytest.raises(ValueError, match=r"are missing \(fc_norm.bias, fc_norm.weight\)"):
        teacher(tmp_path / "w.pth", summary="pooled", **options)


def test_the_statistics_of_a_batch_normalisation_count_and_its_counter_does_not(tmp_path: Path) -> None:
    options = {"model": "resnet10t", "architecture": {}, "summary": "pooled"}
    saved = timm.create_model("resnet10t", num_classes=3).state_dict()
    kept = {name: value for name, value in saved.items() if not name.endswith("num_batches_tracked")}
    torch.save(kept, tmp_path / "w.pth")
    teacher(tmp_path / "w.pth", **options)
    del kept["layer2.0.bn1.running_var"]
    torch.save(kept, tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"1 of the \d+ tensors .* are missing \(layer2\.0\.bn1\.running_var\)"):
        teacher(tmp_path / "w.pth", **options)


def test_a_neck_that_the_features_do_not_pass_is_not_needed(tmp_path: Path) -> None:
    model, small = "samvit_base_patch16.sa1b", {"embed_dim": 24, "depth": 1, "num_heads": 2}
    saved = timm.create_model(model, img_size=64, **small).state_dict()
    torch.save({name: value for name, value in saved.items() if not name.startswith("neck.")}, tmp_path / "w.pth")
    options = {"model": model, "image_size": 64, "architecture": small, "summary": None}
    teacher(tmp_path / "w.pth", spatial="before_norm", **options)
    with pytest.raises(ValueError, match=r"are missing \(neck\."):
        teacher(tmp_path / "w.pth", **options)


def unreadable(folder: Path, state: State) -> dict[str, tuple[Path, str]]:
    torch.save(state, folder / "whole.pth")
    save_file(state, folder / "whole.safetensors")
    torch.save({"model": state, "args": argparse.Namespace(lr=1e-3)}, folder / "with_args.pth")
    torch.save(nn.Linear(2, 2), folder / "module.pth")
    torch.save(list(state.values()), folder / "list.pth")
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    whole, safe = ((folder / f"whole.{suffix}").read_bytes() for suffix in ("pth", "safetensors"))
    written = {
        "pointer.safetensors": pointer,
        "page.pth": b"\n<!DOCTYPE html><html></html>",
        "empty.pth": b"",
        "half.pth": whole[: len(whole) // 2],
        "half.safetensors": safe[: len(safe) // 2],
        "noise.bin": bytes(range(256)),
    }
    for name, content in written.items():
        (folder / name).write_bytes(content)
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), folder / "script.pt")
    told = {
        "with_args.pth": r"holds Python objects besides tensors \(argparse\.Namespace\).*as safetensors",
        "module.pth": r"holds Python objects besides tensors \(torch\.nn\.modules\.linear\.Linear\)",
        "list.pth": "holds a list and not tensors by name",
        "pointer.safetensors": "is a pointer of git LFS .*git lfs pull",
        "page.pth": "is a web page",
        "empty.pth": "is empty; download it again",
        "half.pth": "is cut off or damaged; download it again",
        "half.safetensors": "is cut off or damaged; download it again",
        "noise.bin": "is no file of PyTorch or safetensors",
        "script.pt": r"is a TorchScript archive.*state_dict\(\)",
    }
    return {name: (folder / name, pattern) for name, pattern in told.items()}


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*TorchScript archive:UserWarning")
def test_what_cannot_be_read_is_named_with_a_way_out(state: State, tmp_path: Path) -> None:
    for name, (file, pattern) in unreadable(tmp_path, state).items():
        with pytest.raises(ValueError, match=rf"^teachers\.one: \S*{name} {pattern}"):
            teacher(file)


def test_the_content_and_not_the_suffix_tells_the_format(state: State, tmp_path: Path) -> None:
    save_file(state, tmp_path / "safe.pth")
    torch.save(state, tmp_path / "pickled.safetensors")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("safe.pth", "pickled.safetensors", "old.pth"):
        assert_close(teacher(tmp_path / name).network.norm.weight, state["norm.weight"])
