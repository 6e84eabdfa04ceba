"""The engines side by side in one run: ours, torch eager, onnxruntime on the same graph, and a full-size decoder.

Each repaints one photo, uint8 to uint8, with its style encoded before. Engines take turns, so that a machine whose
speed drifts is the same to all of them; the median of their turns counts. Needs the extra `bench`.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from safetensors.numpy import save_file
from skimage import data
from tqdm import tqdm

from app.engine.base import Job, Picture
from app.engine.create import available_cores, create_engine
from app.network.blend import EPSILON, ChannelStatistics, shares
from app.network.layout import decoder_upsampling, encoder_stages
from app.network.weights import DECODER, ENCODER, Convolution, WeightsFile, read_weights

# The decoder of Huang & Belongie mirrors the encoder; ours is leaner.
MIRROR = ((512, 256), (256, 256), (256, 256), (256, 128), (128, 128), (128, 64), (64, 64), (64, 3))
MIRROR_UPSAMPLE_AFTER = "0,3,5"


class Graph:
    """The network as one ONNX graph: the photo in [0, 1] and a style code to RGB."""

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
        axes = self.constant(np.array([2, 3]))
        features = self.last
        centred = self.add("Sub", features, self.add("ReduceMean", features, axes))
        variance = self.add("ReduceMean", self.add("Mul", centred, centred), axes)
        std = self.add("Sqrt", self.add("Add", variance, self.constant(np.array(EPSILON, np.float32))))
        self.add("Add", self.add("Mul", self.add("Div", centred, std), "std"), "mean")

    def decode(self, weights: WeightsFile) -> None:
        upsample_after = decoder_upsampling(weights)
        doubled = self.constant(np.array([1, 1, 2, 2], np.float32))
        for index, convolution in enumerate(weights.convolutions):
            self.convolve(convolution)
            if index < len(weights.convolutions) - 1:
                self.add("Relu", self.last)
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

    def serialized(self) -> bytes:
        def tensor(name: str, shape: list[Any]) -> object:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        inputs = [tensor("content", [1, 3, "H", "W"]), *(tensor(name, [1, 512, 1, 1]) for name in ("mean", "std"))]
        graph = helper.make_graph(
            self.nodes, "network", inputs, [tensor(self.last, [1, 3, "H", "W"])], initializer=self.constants
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        content: bytes = model.SerializeToString()
        return content


def onnxruntime_run(content: Picture, style: ChannelStatistics) -> Callable[[], Picture]:
    graph = Graph()
    graph.encode(read_weights(ENCODER))
    graph.adapt()
    graph.decode(read_weights(DECODER))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = available_cores()
    session = onnxruntime.InferenceSession(graph.serialized(), options, providers=["CPUExecutionProvider"])
    code = {"mean": style.mean.reshape(1, -1, 1, 1), "std": style.std.reshape(1, -1, 1, 1)}

    def run() -> Picture:
        image = np.ascontiguousarray(content.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
        [pixels] = session.run(None, {"content": image, **code})
        result: Picture = np.rint(pixels[0] * 255).clip(0, 255).astype(np.uint8).transpose(1, 2, 0)
        return result

    return run


def engine_run(name: str, content: Picture, style: ChannelStatistics, decoder: Path = DECODER) -> Callable[[], Picture]:
    engine = create_engine(name, "cpu", decoder=decoder)  # type: ignore[arg-type]
    job = Job(content, (style,), shares([1.0]))
    return lambda: engine.stylize([job])[0]


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


def operations(decoder: WeightsFile, side: int) -> float:
    """Multiplications and additions of direct convolution for a picture of side x side, encoder and decoder."""
    encoder = read_weights(ENCODER)
    scales = [scale for scale, stage in enumerate(encoder_stages(encoder)) for _ in stage]
    total = sum(
        n_in * n_out * (side / 2**scale) ** 2 for scale, (n_in, n_out) in zip(scales, encoder.widths, strict=True)
    )
    upsample_after = decoder_upsampling(decoder)
    for index, (n_in, n_out) in enumerate(decoder.widths):
        scale = 8 / 2 ** sum(after < index for after in upsample_after)
        total += n_in * n_out * (side / scale) ** 2
    return 2 * 9 * total


def sgemm(side: int = 2048) -> float:
    """Operations a second of one large matrix product."""
    a = np.ones((side, side), np.float32)
    return 2 * side**3 / median(timed(lambda: a @ a) for _ in range(7))


def copying() -> float:
    """Bytes a second, read and written, of one large copy."""
    source = np.ones(64 * 2**20, np.float32)
    target = np.empty_like(source)
    np.copyto(target, source)
    return 2 * source.nbytes / median(timed(lambda: np.copyto(target, source)) for _ in range(5))


def timed(run: Callable[[], object]) -> float:
    since = time.perf_counter()
    run()
    return time.perf_counter() - since


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024], help="sides of the photo in pixels")
    parser.add_argument("--rounds", type=int, default=5, help="turns each engine takes at each size")
    asked = parser.parse_args()
    peak = sgemm()
    print(f"{available_cores()} cores: sgemm {peak / 1e9:.0f} GFLOP/s, copy {copying() / 1e9:.1f} GB/s\n")
    style = create_engine("ncnn", "cpu").encode_style(np.asarray(data.coffee()))
    with tempfile.TemporaryDirectory() as folder:
        mirrored = mirrored_decoder(Path(folder))
        print(
            f"{'size':>5}  {'engine':<28}{'ms':>7}{'/ torch':>9}{'/ onnxruntime':>15}{'GFLOP/s':>9}{'/ sgemm':>9}",
            flush=True,
        )
        for side in asked.sizes:
            photo = np.asarray(Image.fromarray(data.astronaut()).resize((side, side)))
            runs = {
                "torch eager": engine_run("torch", photo, style),
                "onnxruntime": onnxruntime_run(photo, style),
                "ncnn": engine_run("ncnn", photo, style),
                "torch, mirrored decoder": engine_run("torch", photo, style, mirrored),
                "ncnn, mirrored decoder": engine_run("ncnn", photo, style, mirrored),
            }
            reference = runs["torch eager"]().astype(int)
            for name in ("onnxruntime", "ncnn"):
                if np.abs(runs[name]() - reference).max() > 2:
                    raise SystemExit(f"{name} does not give what torch gives: nothing to compare")
            seconds: dict[str, list[float]] = {name: [] for name in runs}
            for turn in tqdm(range(asked.rounds + 1), f"{side}x{side}", leave=False):
                for name, run in runs.items():
                    took = timed(run)
                    if turn:
                        seconds[name].append(took)
            medians = {name: median(took) for name, took in seconds.items()}
            for name, took in medians.items():
                decoder = read_weights(mirrored if "mirrored" in name else DECODER)
                rate = operations(decoder, side) / took
                print(
                    f"{side:>5}  {name:<28}{took * 1e3:>7.0f}{took / medians['torch eager']:>9.2f}"
                    f"{took / medians['onnxruntime']:>15.2f}{rate / 1e9:>9.0f}{rate / peak:>9.2f}"
                )


if __name__ == "__main__":
    main()
