"""Files that are no ONNX model, and image sizes that a graph does not run at."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from safetensors.torch import save_file

from phis_lab.teachers import check_available
from phis_lab.teachers.onnx import OnnxTeacher

TARGET = "phis_lab.teachers.onnx.OnnxTeacher"


def test_a_file_of_another_kind_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "w.pt")
    save_file({"a": torch.ones(1)}, tmp_path / "w.safetensors")
    (tmp_path / "pointer.onnx").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "empty.onnx").touch()
    for name, told in {
        "w.pt": "weights of PyTorch and no ONNX model",
        "w.safetensors": "weights of PyTorch and no ONNX model",
        "pointer.onnx": "pointer of git LFS",
        "empty.onnx": "is empty",
    }.items():
        with pytest.raises(ValueError, match=rf"^teachers\.net: \S*{name} .*{told}"):
            check_available({"net": {"_target_": TARGET, "weights": str(tmp_path / name), "image_size": 32}})


def fixed_graph() -> bytes:
    """A graph whose reshape holds at 8 px alone."""
    nodes = [
        helper.make_node("Relu", ["x"], ["y"]),
        helper.make_node("Reshape", ["y", "shape"], ["map"]),
    ]
    values = [helper.make_tensor("shape", TensorProto.INT64, [4], [1, 12, 4, 4])]
    image, maps = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", [1, 3, 8, 8]), ("map", [1, 12, 4, 4]))
    )
    model = helper.make_model(
        helper.make_graph(nodes, "fixed", [image], [maps], values), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 9
    return bytes(model.SerializeToString())


def test_a_size_that_the_graph_does_not_run_at_is_refused_with_its_own(tmp_path: Path) -> None:
    (tmp_path / "fixed.onnx").write_bytes(fixed_graph())
    option = {"weights": str(tmp_path / "fixed.onnx"), "layer": "map"}
    assert OnnxTeacher("net", image_size=8, **option).spatial_dim == 12
    with pytest.raises(ValueError, match=r"does not run at image_size=16: .*; its own input is \[1, 3, 8, 8\]"):
        OnnxTeacher("net", image_size=16, **option)


def test_a_model_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    whole = fixed_graph()
    (tmp_path / "half.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"half\.onnx is no ONNX model, or is cut off"):
        OnnxTeacher("net", weights=str(tmp_path / "half.onnx"), layer="map", image_size=8)
    assert onnx.load_model_from_string(whole).graph.name == "fixed"


def with_parameters(folder: Path, location: str, value: float) -> Path:
    """A model that adds numbers of another file to its input."""
    number = helper.make_tensor("number", TensorProto.FLOAT, [1], np.array([value], np.float32).tobytes(), raw=True)
    image, maps = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("x", "map"))
    graph = helper.make_graph([helper.make_node("Add", ["x", "number"], ["map"])], "added", [image], [maps], [number])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save_model(
        model, str(folder / "net.onnx"), save_as_external_data=True, location="numbers.bin", size_threshold=0
    )
    if location != "numbers.bin":
        text = (folder / "net.onnx").read_bytes()
        renamed = onnx.load_from_string(text)
        for entry in renamed.graph.initializer[0].external_data:
            if entry.key == "location":
                entry.value = location
        (folder / "net.onnx").write_bytes(renamed.SerializeToString())
    return folder / "net.onnx"


def test_parameters_in_a_file_beside_the_model_are_in_its_fingerprint(tmp_path: Path) -> None:
    option = {"layer": "map", "image_size": 8}
    first, second = (
        OnnxTeacher("net", weights=str(with_parameters(tmp_path, "numbers.bin", value)), **option).weights.sha256
        for value in (1.0, 2.0)
    )
    assert first != second


@pytest.mark.parametrize("location", ["../numbers.bin", "/etc/hostname"])
def test_parameters_elsewhere_are_not_read(location: str, tmp_path: Path) -> None:
    file = with_parameters(tmp_path, location, 1.0)
    with pytest.raises(ValueError, match=r"net\.onnx keeps parameters in .*; only files beside it"):
        OnnxTeacher("net", weights=str(file), layer="map", image_size=8)
