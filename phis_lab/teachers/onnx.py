"""Teachers from ONNX files, run by onnxruntime up to one named inner tensor."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from phis_lab.bounds import Side
from phis_lab.features import Features
from phis_lab.shapes import Float
from phis_lab.teachers.base import Teacher
from phis_lab.teachers.pixels import IMAGENET_MEAN, IMAGENET_STD, Pixels
from phis_lab.teachers.weight_files import refuse_foreign
from phis_lab.teachers.weights import Weights, check_weights, local_file

Layout = Literal["NCHW", "NHWC"]


class OnnxTeacher(Teacher):
    """Any ONNX network whose inner tensor `layer` is a feature map `[b, c, h, w]`.

    Args:
        name: key of the teacher in its set.
        weights: the ONNX file.
        layer: name of the tensor that becomes the spatial features; a wrong name lists the right ones.
        image_size: side in pixels.
        summary: "average" adds the mean over the map as summary.
        layout: of the network's input.
        channels: their order in the network's input.
        mean: per channel, in the order and the range of the network's pixels.
        std: likewise.
        pixel_range: 1 if the network's pixels lie in [0, 1] before mean and std, 255 if in [0, 255].
    """

    computes_in = "float32"

    def __init__(
        self,
        name: str,
        *,
        weights: str,
        layer: str,
        image_size: Side,
        summary: Literal["average"] | None = None,
        layout: Layout = "NCHW",
        channels: Literal["RGB", "BGR"] = "RGB",
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        pixel_range: Literal[1, 255] = 1,
    ) -> None:
        self.check(name, {"weights": weights})
        file = local_file(weights)
        network = OnnxGraph(file, layer, layout)
        dim = channels_at(network, image_size)
        self.summary_kind = summary
        super().__init__(
            name=name,
            network=network,
            pixels=Pixels(
                image_size,
                mean=[value / pixel_range for value in mean],
                std=[value / pixel_range for value in std],
                bgr=channels == "BGR",
            ),
            weights=Weights.of_file(file, parts=parameter_files(file)),
            layer=layer,
            spatial_dim=dim,
            summary_dim=dim if summary else None,
        )

    @classmethod
    def check(cls, name: str, option: Mapping[str, Any]) -> None:
        """Raises ValueError if the file is not there, or begins as no ONNX file does."""
        check_weights(name, option["weights"], None)
        refuse_foreign(file := local_file(option["weights"]))
        with file.open("rb") as stream:
            start = stream.read(9)
        if start.startswith((b"PK", b"\x80")) or start[8:] == b"{":
            raise ValueError(f"{file} holds weights of PyTorch and no ONNX model; export the network with torch.onnx")

    def features(self, x: Float[Tensor, "b 3 size size"]) -> Features:
        """Runs the graph up to the named tensor."""
        spatial = self.network(x).permute(0, 2, 3, 1)
        return Features(spatial.mean(dim=(1, 2)) if self.summary_kind else None, spatial)


class OnnxGraph(nn.Module):
    """An onnxruntime session as a module: computes on the CPU, with as many threads as torch has now.

    Args:
        file: the ONNX file.
        layer: the inner tensor to return, a map `[b, c, h, w]`.
        layout: of the input.
    """

    def __init__(self, file: Path, layer: str, layout: Layout = "NCHW") -> None:
        super().__init__()
        self.file, self.layer, self.layout = file, layer, layout
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        whole = read_model(file)
        self.declared = [size.dim_value or "any" for size in whole.graph.input[0].type.tensor_type.shape.dim]
        model = cut(whole, layer)
        try:
            self.session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors have no class of their own
            raise ValueError(f"{file} is not understood by onnxruntime: {first_line(error)}") from error
        self.input_name = self.session.get_inputs()[0].name

    def forward(self, x: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h2 w2"]:
        """Runs the graph in float32."""
        pixels = x.permute(0, 2, 3, 1) if self.layout == "NHWC" else x
        array = np.ascontiguousarray(pixels.detach().float().cpu().numpy())
        (maps,) = self.session.run(None, {self.input_name: array})
        if maps.ndim != 4:
            raise ValueError(f"the layer must be a feature map [b, c, h, w], received shape {list(maps.shape)}")
        return torch.from_numpy(maps).to(x.device)


def parameter_files(file: Path) -> list[Path]:
    """Files beside an ONNX file that hold its larger parameters, in the order of their names.

    Raises:
        ValueError: it is no ONNX file; or one of them would lie elsewhere, where a model of a stranger's must not read.
    """
    try:
        model = onnx.load(str(file), load_external_data=False)
    except Exception as error:  # protobuf's errors
        raise ValueError(f"{file} is no ONNX model, or is cut off ({first_line(error)})") from error
    names = {
        entry.value
        for tensor in model.graph.initializer
        for entry in tensor.external_data
        if tensor.data_location == onnx.TensorProto.EXTERNAL and entry.key == "location"
    }
    folder = file.parent.resolve()
    for name in names:
        if not (folder / name).resolve().is_relative_to(folder):
            raise ValueError(
                f"{file} keeps parameters in {name}, which is not beside it; only files beside it are read"
            )
    return sorted(folder / name for name in names)


def read_model(file: Path) -> onnx.ModelProto:
    """Reads an ONNX file.

    Raises:
        ValueError: it is none, is cut off, or lacks the file of its parameters.
    """
    parameter_files(file)
    try:
        model = onnx.load(str(file))
    except Exception as error:  # protobuf's errors and those of files beside it
        raise ValueError(
            f"{file} is no ONNX model, is cut off, or lacks its file of parameters ({first_line(error)})"
        ) from error
    if not model.graph.node:
        raise ValueError(f"{file} holds no graph of ONNX; export the network again")
    return model


def channels_at(network: OnnxGraph, image_size: int) -> int:
    """Returns the channels of the features of a blank image.

    Raises:
        ValueError: the graph does not run on images of this size.
    """
    try:
        maps = network(torch.zeros(1, 3, image_size, image_size))
    except ValueError:
        raise
    except Exception as error:  # onnxruntime's errors have no class of their own
        raise ValueError(
            f"the network does not run at image_size={image_size}: {first_line(error)}; its own input is "
            f"{network.declared}"
        ) from error
    return int(maps.shape[1])


def first_line(error: Exception) -> str:
    """The first line of a message."""
    return (str(error) or type(error).__name__).splitlines()[0]


def cut(model: onnx.ModelProto, layer: str) -> onnx.ModelProto:
    """Returns a copy of `model` that ends at the tensor `layer` and accepts any batch and image size.

    Raises:
        ValueError: listing the tensors, if there is none of this name.
    """
    nodes = needed_nodes(model.graph, layer)
    used = {name for node in nodes for name in node.input}
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    for field in (graph.node, graph.output, graph.value_info, graph.initializer, graph.input):
        del field[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name in used)
    graph.input.extend(value for value in model.graph.input if value.name in used)
    graph.output.append(onnx.ValueInfoProto(name=layer))
    for axis, dimension in enumerate(graph.input[0].type.tensor_type.shape.dim):
        if dimension.dim_value != 3:
            dimension.dim_param = f"free_{axis}"
    return result


def needed_nodes(graph: onnx.GraphProto, layer: str) -> Sequence[onnx.NodeProto]:
    """Returns, in order, the nodes that the tensor `layer` depends on."""
    needed, nodes = {layer}, []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            nodes.append(node)
            needed.update(node.input)
    if not nodes:
        names = [name for node in graph.node if node.op_type != "Constant" for name in node.output]
        raise ValueError(f"the graph has no tensor {layer!r}; it has {names}")
    return nodes[::-1]
