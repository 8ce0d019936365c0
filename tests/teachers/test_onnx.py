"""Teachers from ONNX files, and their translation to torch."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.testing import assert_close

from phis_lab.teachers import MissingWeightsError, TeacherPool
from phis_lab.teachers.convolution import FrozenConv
from phis_lab.teachers.onnx import OnnxTeacher, cut
from phis_lab.teachers.onnx_to_torch import to_torch

CONV = {"strides": [2, 2], "pads": [1, 1, 1, 1], "dilations": [1, 1], "group": 1}


def constant(name: str, value: object) -> onnx.NodeProto:
    tensor = numpy_helper.from_array(np.asarray(value, dtype=np.float32), name)
    return helper.make_node("Constant", [], [name], value=tensor)


def network(side: int | str = "side", pads: tuple[int, ...] = (1, 1, 1, 1)) -> onnx.ModelProto:
    """Convolution, scale and shift, hard swish, squeeze and excite, upsampling, concatenation; then a classifier."""
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.normal(size=(6, 3, 3, 3)),
        "w2": rng.normal(size=(6, 1, 3, 3)),
        **{name: rng.uniform(0.5, 2.0, size=6) for name in ("b", "gamma", "beta", "mean", "var")},
        "scales": [1, 1, 2, 2],
        "dense": rng.normal(size=(12, 2)),
    }
    node = helper.make_node
    nodes = [
        *(constant(name, value) for name, value in weights.items()),
        *(constant(name, value) for name, value in {"s": [0.7], "t": [-0.4], "3": 3, "0": 0, "6": 6}.items()),
        node("Conv", ["x", "w"], ["c"], **{**CONV, "pads": pads}),
        node("Mul", ["s", "c"], ["cs"]),
        node("Add", ["cs", "t"], ["ct"]),
        node("Add", ["ct", "3"], ["c3"]),
        node("Clip", ["c3", "0", "6"], ["cc"]),
        node("Mul", ["ct", "cc"], ["cm"]),
        node("Div", ["cm", "6"], ["h"]),
        node("Conv", ["h", "w2", "b"], ["d"], **{**CONV, "group": 6}),
        node("BatchNormalization", ["d", "gamma", "beta", "mean", "var"], ["n"], epsilon=1e-5),
        node("GlobalAveragePool", ["n"], ["g"]),
        node("Relu", ["g"], ["r"]),
        node("HardSigmoid", ["r"], ["e"], alpha=0.2, beta=0.5),
        node("Mul", ["n", "e"], ["m"]),
        node(
            "Resize",
            ["m", "", "scales"],
            ["u"],
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        ),
        node("Concat", ["h", "u"], ["neck"], axis=1),
        node("ReduceMean", ["neck"], ["pooled"], axes=[2, 3], keepdims=0),
        node("MatMul", ["pooled", "dense"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, side, side])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def run_whole(model: onnx.ModelProto, layer: str, x: Tensor) -> Tensor:
    """onnxruntime on the uncut graph, with `layer` as one more output."""
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    whole.graph.output.append(onnx.ValueInfoProto(name=layer))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(whole.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run([layer], {session.get_inputs()[0].name: x.numpy()})[0])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "network.onnx"
    onnx.save(network(side=32), file)
    return file


def test_the_cut_graph_equals_the_whole_graph_at_any_size(file: Path, photos: Tensor) -> None:
    teacher = OnnxTeacher("t", weights=str(file), layer="neck", image_size=64, summary="average")
    summary, spatial = teacher(photos)
    expected = run_whole(network(), "neck", teacher.pixels(photos))
    assert_close(spatial.permute(0, 3, 1, 2), expected)
    assert_close(summary, expected.mean(dim=(2, 3)))
    assert teacher.summary_dim == teacher.spatial_dim == 12


def test_onnxruntime_computes_in_float32_whatever_the_pool_is_asked_for(file: Path, photos: Tensor) -> None:
    teacher = OnnxTeacher("t", weights=str(file), layer="neck", image_size=32)
    pool = TeacherPool({"t": teacher}, "bfloat16")
    assert pool.describe("cuda")["t"]["precision"] == "float32"
    assert_close(pool(photos)["t"].spatial, teacher(photos).spatial)


def test_the_cut_graph_drops_what_the_layer_does_not_need() -> None:
    kept = cut(network(), "h").graph
    assert [node.op_type for node in kept.node if node.op_type != "Constant"] == [
        *("Conv", "Mul", "Add", "Add", "Clip", "Mul", "Div")
    ]
    assert not {"w2", "dense"} & {node.output[0] for node in kept.node}


def test_colour_order_range_and_layout_describe_the_networks_pixels(tmp_path: Path, photos: Tensor) -> None:
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Transpose", ["x"], ["maps"], perm=[0, 3, 1, 2])],
            "pixels",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, None, None, 3])],
            [helper.make_tensor_value_info("maps", TensorProto.FLOAT, [None, 3, None, None])],
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    onnx.save(model, tmp_path / "pixels.onnx")
    teacher = OnnxTeacher(
        "t",
        weights=str(tmp_path / "pixels.onnx"),
        layer="maps",
        image_size=128,
        layout="NHWC",
        channels="BGR",
        mean=(104.0, 117.0, 123.0),
        std=(1.0, 1.0, 2.0),
        pixel_range=255,
    )
    spatial = teacher(photos).spatial
    assert_close(spatial[..., 0], photos[:, 2] * 255 - 104, rtol=1e-4, atol=1e-3)
    assert_close(spatial[..., 2], (photos[:, 0] * 255 - 123) / 2, rtol=1e-4, atol=1e-3)


def test_a_wrong_layer_lists_the_right_ones(file: Path) -> None:
    with pytest.raises(ValueError, match=r"no tensor 'nek'; it has \['c', .*'neck'"):
        OnnxTeacher("t", weights=str(file), layer="nek", image_size=32)


def test_a_layer_that_is_no_map_is_refused(file: Path) -> None:
    with pytest.raises(ValueError, match=r"feature map \[b, c, h, w\], received shape \[1, 2\]"):
        OnnxTeacher("t", weights=str(file), layer="logits", image_size=32)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match=r"teachers\.t: there is no file"):
        OnnxTeacher("t", weights=str(tmp_path / "none.onnx"), layer="neck", image_size=32)


def test_the_translation_to_torch_equals_onnxruntime(photos: Tensor) -> None:
    translated = to_torch(network(), "neck")
    assert_close(translated(photos), run_whole(network(), "neck", photos), rtol=1e-4, atol=1e-4)


def test_numbers_normalisations_and_activations_go_into_the_convolution_before_them() -> None:
    (step,) = convolutions(to_torch(network(), "h"))
    assert step.activation == "hardswish"
    translated = to_torch(network(), "neck")
    assert [conv.activation for conv in convolutions(translated)] == ["hardswish", "none"]
    assert not any(isinstance(module, nn.BatchNorm2d) for module in translated.modules())


def convolutions(translated: nn.Module) -> list[FrozenConv]:
    return [module for module in translated.children() if isinstance(module, FrozenConv)]


def test_a_value_that_two_layers_read_keeps_what_follows_it_apart() -> None:
    node = helper.make_node
    weight = np.random.default_rng(0).normal(size=(6, 3, 3, 3))
    nodes = [
        constant("w", weight),
        node("Conv", ["x", "w"], ["c"], **CONV),
        node("Relu", ["c"], ["r"]),
        node("Add", ["c", "r"], ["out"]),
    ]
    value = helper.make_tensor_value_info
    ends = [value("x", TensorProto.FLOAT, ["b", 3, 8, 8])], [value("out", TensorProto.FLOAT, ["b", 6, 4, 4])]
    model = helper.make_model(
        helper.make_graph(nodes, "branch", *ends), opset_imports=[helper.make_opsetid("", 13)], ir_version=8
    )
    x = torch.rand(2, 3, 8, 8)
    assert_close(to_torch(model, "out")(x), run_whole(model, "out", x))


def test_an_operator_without_translation_is_named() -> None:
    with pytest.raises(ValueError, match="operator ReduceMean has no translation to torch; run the file with Onnx"):
        to_torch(network(), "logits")


def test_asymmetric_padding_is_refused() -> None:
    with pytest.raises(ValueError, match=r"only symmetric padding .* received \[0, 0, 1, 1\]"):
        to_torch(network(pads=(0, 0, 1, 1)), "neck")
