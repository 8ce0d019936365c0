"""What a network in an ONNX file costs, from the shapes in its graph."""

import math
from collections.abc import Mapping

import onnx

from phis_lab.teachers.onnx import OnnxGraph, cut, read_model

Shapes = Mapping[str, tuple[int, ...]]


def graph_cost(graph: OnnxGraph, image_size: int) -> tuple[int, int]:
    """Parameters of a graph, and operations of one image in its products and convolutions.

    Args:
        graph: as a teacher runs it.
        image_size: side of the image in pixels.
    """
    model = cut(read_model(graph.file), graph.layer)
    sides = (1, image_size, image_size, 3) if graph.layout == "NHWC" else (1, 3, image_size, image_size)
    for dimension, size in zip(model.graph.input[0].type.tensor_type.shape.dim, sides, strict=True):
        dimension.dim_value = size
    inferred = onnx.shape_inference.infer_shapes(model)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    parameters = sum(math.prod(shape) for shape in shapes.values())
    for value in (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output):
        shapes[value.name] = tuple(side.dim_value for side in value.type.tensor_type.shape.dim)
    return parameters, sum(_operations(node, shapes) for node in model.graph.node)


def _operations(node: onnx.NodeProto, shapes: Shapes) -> int:
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return 0
    result, weight = shapes.get(node.output[0], ()), shapes.get(node.input[1], ())
    if node.op_type == "Conv":
        return 2 * math.prod(result) * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":
        return 2 * math.prod(shapes.get(node.input[0], ())) * math.prod(weight[1:])
    transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
    return 2 * math.prod(result) * (weight[-1] if transposed else weight[-2])
