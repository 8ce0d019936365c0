"""A convolutional ONNX graph as a torch module, so that it runs in bfloat16 and on any device."""

from collections.abc import Callable
from typing import Any

import onnx
import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.nn.utils import skip_init

from phis_lab.teachers.convolution import FrozenConv
from phis_lab.teachers.onnx import needed_nodes

ACTIVATIONS = {torch.relu: nn.ReLU(), functional.hardswish: nn.Hardswish()}
Value = fx.Node | Tensor | float


def fuse(module: fx.GraphModule) -> fx.GraphModule:
    """Fuses in place: hardswish, then numbers, batch normalisation and activations into `FrozenConv`.

    x * clip(x + 3, 0, 6) / 6 becomes `hardswish` first. A value that has other readers stays.
    """
    fx.replace_pattern(
        module,
        lambda x: torch.div(torch.mul(x, torch.clamp(torch.add(x, 3.0), 0.0, 6.0)), 6.0),
        lambda x: functional.hardswish(x, inplace=False),
    )
    for node in list(module.graph.nodes):
        conv = module.get_submodule(node.target) if node.op == "call_module" else None
        while isinstance(conv, FrozenConv) and len(node.users) == 1:
            (follower,) = node.users
            if not _absorb(module, conv, follower):
                break
            follower.replace_all_uses_with(node)
            module.graph.erase_node(follower)
    module.delete_all_unused_submodules()
    module.recompile()
    return module


def _absorb(module: fx.GraphModule, conv: FrozenConv, follower: fx.Node) -> bool:
    if follower.op == "call_module":
        return conv.absorb(module.get_submodule(str(follower.target)))
    if follower.target in ACTIVATIONS:
        return conv.absorb(ACTIVATIONS[follower.target])
    numbers = [argument for argument in follower.args if isinstance(argument, float)]
    if len(numbers) != 1 or follower.target not in {torch.mul, torch.add}:
        return False
    return conv.multiply(numbers[0]) if follower.target is torch.mul else conv.add(numbers[0])


def to_torch(model: onnx.ModelProto, layer: str) -> fx.GraphModule:
    """Translates the part of `model` that the tensor `layer` depends on, and fuses what it can.

    Constants with one element become numbers, so that they never raise the precision of a bfloat16 map.

    Raises:
        ValueError: for an operator outside those of small convolutional networks; `OnnxTeacher` runs every
            operator.
    """
    translation = _Translation()
    for tensor in model.graph.initializer:
        translation.values[tensor.name] = _constant(tensor)
    translation.values[model.graph.input[0].name] = translation.graph.placeholder("x")
    for node in needed_nodes(model.graph, layer):
        translation.add(node)
    translation.graph.output(translation.values[layer])
    return fuse(fx.GraphModule(translation.root, translation.graph))


class _Translation:
    """The torch graph so far, with the value of every ONNX tensor in it."""

    def __init__(self) -> None:
        self.root = nn.Module()
        self.graph = fx.Graph()
        self.values: dict[str, Value] = {}

    def add(self, node: onnx.NodeProto) -> None:
        """Adds one ONNX node."""
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Constant":
            self.values[node.output[0]] = _constant(attributes["value"])
            return
        inputs = [self.values.get(name) for name in node.input]
        self.values[node.output[0]] = self._translate(node.op_type, inputs, attributes)

    def _translate(self, op_type: str, inputs: list[Any], attributes: dict[str, Any]) -> fx.Node:
        match op_type:
            case "Conv":
                return self._convolution(inputs, attributes)
            case "BatchNormalization":
                return self._batch_norm(inputs, attributes["epsilon"])
            case "Resize":
                return self._upsample(inputs, attributes)
            case "HardSigmoid":
                return self._call(_hard_sigmoid, inputs[0], attributes["alpha"], attributes["beta"])
            case "Concat":
                return self.graph.call_function(torch.cat, (inputs, attributes["axis"]))
            case "Add" | "Mul" | "Div" | "Clip" | "Relu" | "GlobalAveragePool":
                return self._call(_WITHOUT_ATTRIBUTES[op_type], *inputs)
            case _:
                raise ValueError(f"operator {op_type} has no translation to torch; run the file with OnnxTeacher")

    def _convolution(self, inputs: list[Any], attributes: dict[str, Any]) -> fx.Node:
        x, weight, bias = (*inputs, None)[:3]
        top, left, bottom, right = attributes["pads"]
        if (top, left) != (bottom, right):
            raise ValueError(f"only symmetric padding has a translation to torch, received {attributes['pads']}")
        groups = attributes["group"]
        widths = weight.shape[1] * groups, weight.shape[0]
        geometry = weight.shape[2:], attributes["strides"], (top, left), attributes["dilations"], groups
        conv = skip_init(nn.Conv2d, *widths, *geometry)
        conv.load_state_dict({"weight": weight, "bias": torch.zeros(len(weight)) if bias is None else bias})
        return self._module(FrozenConv(conv), x)

    def _batch_norm(self, inputs: list[Any], epsilon: float) -> fx.Node:
        x, weight, bias, mean, variance = inputs
        norm = nn.BatchNorm2d(len(weight), epsilon)
        state = {"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance}
        norm.load_state_dict(state, strict=False)
        return self._module(norm, x)

    def _upsample(self, inputs: list[Any], attributes: dict[str, Any]) -> fx.Node:
        how = (attributes["mode"], attributes["coordinate_transformation_mode"], attributes["nearest_mode"])
        if how != (b"nearest", b"asymmetric", b"floor"):
            raise ValueError(f"only nearest, asymmetric, floor resizing has a translation to torch, received {how}")
        return self._call(functional.interpolate, inputs[0], None, tuple(inputs[2].tolist()[2:]), "nearest")

    def _module(self, module: nn.Module, x: fx.Node) -> fx.Node:
        name = f"module_{len(list(self.root.children()))}"
        self.root.add_module(name, module.eval().requires_grad_(False))
        return self.graph.call_module(name, (x,))

    def _call(self, function: Callable[..., Tensor], *arguments: Any) -> fx.Node:
        return self.graph.call_function(function, tuple(self._buffer(argument) for argument in arguments))

    def _buffer(self, argument: Any) -> Any:
        if not isinstance(argument, Tensor):
            return argument
        name = f"constant_{len(list(self.root.buffers()))}"
        self.root.register_buffer(name, argument.clone())
        return self.graph.get_attr(name)


def _hard_sigmoid(x: Tensor, alpha: float, beta: float) -> Tensor:
    return torch.clamp(x * alpha + beta, 0.0, 1.0)


def _spatial_mean(x: Tensor) -> Tensor:
    return x.mean(dim=(2, 3), keepdim=True)


_WITHOUT_ATTRIBUTES: dict[str, Callable[..., Tensor]] = {
    "Add": torch.add,
    "Mul": torch.mul,
    "Div": torch.div,
    "Clip": torch.clamp,
    "Relu": torch.relu,
    "GlobalAveragePool": _spatial_mean,
}


def _constant(tensor: onnx.TensorProto) -> float | Tensor:
    value = torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
    return float(value) if value.numel() == 1 else value
