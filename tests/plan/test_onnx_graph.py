"""The cost of a teacher that lies in an ONNX file."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from phis_lab.plan.networks import teacher_cost


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_convolutions_and_parameters_of_a_graph_are_counted(tmp_path, layout):
    weights = {"first": (8, 3, 3, 3), "second": (16, 4, 1, 1)}  # the second in two groups
    shape = [1, 3, "h", "w"] if layout == "NCHW" else [1, "h", "w", 3]
    nodes = [
        helper.make_node("Conv", ["planes", "first"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["a", "second"], ["maps"], group=2),
    ]
    to_planes = helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2])
    nodes = [helper.make_node("Identity", ["image"], ["planes"]) if layout == "NCHW" else to_planes, *nodes]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("maps", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones(size, np.float32), name) for name, size in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, str(tmp_path / "small.onnx"))
    node = {
        "_target_": "phis_lab.teachers.onnx.OnnxTeacher",
        "name": "small",
        "weights": str(tmp_path / "small.onnx"),
        "layer": "maps",
        "image_size": 32,
        "layout": layout,
    }
    cost = teacher_cost("small", node)
    assert cost.forward.flops == 2 * 16 * 16 * (8 * 27 + 16 * 4)
    assert cost.parameters == 8 * 27 + 16 * 4
    assert (cost.channels, cost.grid, cost.on_cpu) == ((None, 16), (16, 16), True)
