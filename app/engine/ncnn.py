"""The network in ncnn: what runs it fastest on CPUs, by Winograd convolutions, and without torch.

Both networks are built in memory from the files every engine reads, a stage for each scale of the picture, so that a
slab of one scale stays near the core that works on it. The first and the last convolution take the scale of uint8 in:
pixels go in as they are and come out ready to be cut to integers.
"""

import ctypes
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import ncnn
import numpy as np

from app.engine.base import Job, Picture, Steps, complete, padded_shape
from app.engine.stages import Rows
from app.engine.tiles import Limits, TiledNetwork
from app.network.blend import StyleCode
from app.network.layout import arithmetic, decoder_upsampling, encoder_stages
from app.network.weights import DECODER, ENCODER, Convolution, WeightsError, WeightsFile, read_networks

RELU: Final = "9=1"
CLIP_TO_BYTE: Final = "9=3 -23310=2,0.0,255.0"


class NcnnEngine:
    """Encoder and decoder on the CPU, in float32, each picture on `threads` threads.

    Raises WeightsError when a weights file is missing or wrong, or the two do not belong together.
    """

    compile_seconds = 0.0

    def __init__(
        self, threads: int = 1, encoder: Path = ENCODER, decoder: Path = DECODER, limits: Limits | None = None
    ) -> None:
        limits = limits or Limits()
        encoding, decoding = read_networks(encoder, decoder)
        self.threads = threads
        self.step_pixels = limits.tile_width**2
        self._memory = _Memory()
        self._network = TiledNetwork(
            [graph.load(threads, self._memory, limits.slab_rows) for graph in _encoder(encoding)],
            [
                [graph.load(threads, self._memory, limits.slab_rows) for graph in segment]
                for segment in _decoder(decoding)
            ],
            list(decoding.adain.values()),
            limits,
            arithmetic(encoding, decoding),
            self._memory.release,
            decoding.adain_gain,
            f"{self.name}, {version('ncnn')}, {limits}, {encoding.sha256}, {decoding.sha256}",
        )

    @property
    def name(self) -> str:
        return f"ncnn on the CPU, {self.threads} thread{'s' if self.threads > 1 else ''}"

    def encode_style(self, picture: Picture, alpha: Picture | None = None) -> StyleCode:
        return complete(self.encode_style_steps(picture, alpha))

    def stylize(self, jobs: Sequence[Job]) -> list[Picture]:
        return complete(self.stylize_steps(jobs))

    def encode_style_steps(self, picture: Picture, alpha: Picture | None = None) -> Steps[StyleCode]:
        self._memory.prepare(picture)
        return (yield from self._network.encode_style_steps(picture, alpha))

    def stylize_steps(self, jobs: Sequence[Job]) -> Steps[list[Picture]]:
        self._memory.prepare(jobs[0].content)
        return (yield from self._network.all_steps(jobs))


class _Memory:
    """Memory that outlives a run: to ask the system for it anew, page by page, takes longer than to fill it."""

    def __init__(self) -> None:
        self.blobs = ncnn.PoolAllocator()
        self.workspace = ncnn.PoolAllocator()
        self._shape = (0, 0)

    def prepare(self, picture: Picture) -> None:
        """Let go of what pictures of another shape needed."""
        height, width = picture.shape[:2]
        if padded_shape(height, width) != self._shape:
            self.release()
            self._shape = padded_shape(height, width)

    def release(self) -> None:
        """Let go of what is not in use."""
        self.blobs.clear()
        self.workspace.clear()


class _Graph:
    """A chain of layers in ncnn's text format, and the weights its convolutions read in that order."""

    def __init__(self) -> None:
        self.layers: list[str] = []
        self.convolutions: list[Convolution] = []
        self.up = self.down = 1

    def pool(self) -> None:
        self.down = 2
        self._add("Pooling", "0=0 1=2 2=2")

    def upsample(self) -> None:
        self.up = 2
        self._add("Interp", "0=1 1=2.0 2=2.0")

    def convolve(self, convolution: Convolution, activation: str = RELU) -> None:
        self._add("Padding", "0=1 1=1 2=1 3=1 4=2")
        outputs = convolution.weight.shape[0]
        self._add("Convolution", f"0={outputs} 1=3 5=1 6={convolution.weight.size} {activation}")
        self.convolutions.append(convolution)

    def load(self, threads: int, memory: _Memory, slab_rows: int) -> "_Stage":
        net = ncnn.Net()
        net.opt.num_threads = threads
        net.opt.use_vulkan_compute = False
        # bfloat16 storage was measured: 3 % faster, and up to 8/255 away from float32.
        net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
        net.opt.use_bf16_storage = False
        # Winograd tiles of 4x4 are as fast here as those of 6x6, and their weights take half the memory.
        net.opt.use_winograd63_convolution = False
        net.opt.blob_allocator = memory.blobs
        net.opt.workspace_allocator = memory.workspace
        lines = ["7767517", f"{len(self.layers) + 1} {len(self.layers) + 1}", "Input input 0 1 0", *self.layers]
        flag = bytes(4)  # float32 weights follow
        weights = b"".join(flag + c.weight.tobytes() + c.bias.tobytes() for c in self.convolutions)
        if net.load_param_mem("\n".join(lines) + "\n") != 0 or net.load_model(_Bytes(weights)) != 0:
            raise WeightsError("ncnn does not take this network; set the engine to 'torch'")
        return _Stage(net, memory, self, slab_rows)

    def _add(self, kind: str, parameters: str) -> None:
        n = len(self.layers)
        self.layers.append(f"{kind} {kind}{n} 1 1 {n} {n + 1} {parameters}")


class _Stage:
    """A loaded graph; meets `app.engine.stages.Stage`."""

    def __init__(self, net: Any, memory: _Memory, graph: _Graph, slab_rows: int) -> None:
        self.up, self.down = graph.up, graph.down
        self.halo = -(-len(graph.convolutions) // (self.up * self.down)) * self.down
        # Where nothing is pooled there are many channels.
        self.rows = slab_rows // (1 if self.down > 1 else 2)
        self._net = net
        self._memory = memory  # its blobs live there
        self._output = net.output_names()[0]
        self._to_pixels = graph.convolutions[-1].weight.shape[0] == 3

    def __call__(self, rows: Rows) -> Rows:
        if rows.dtype == np.uint8:
            pixels = np.ascontiguousarray(rows.transpose(1, 2, 0))
            height, width = pixels.shape[:2]
            blob = ncnn.Mat.from_pixels(pixels, ncnn.Mat.PixelType.PIXEL_RGB, width, height)
        else:
            rows = np.ascontiguousarray(rows)  # stays referenced until the result is out: the blob does not own it
            blob = ncnn.Mat(rows)
        with self._net.create_extractor() as extractor:
            extractor.input(0, blob)
            code, output = extractor.extract(self._output)
        if code != 0:
            raise MemoryError("out of memory in ncnn")
        result: Rows = output.numpy()
        return result.astype(np.uint8) if self._to_pixels else result


def _encoder(weights: WeightsFile) -> list[_Graph]:
    graphs = []
    stages = encoder_stages(weights)
    convolutions = iter(weights.convolutions)
    for index, stage in enumerate(stages):
        graph = _Graph()
        for _ in stage:
            graph.convolve(next(convolutions))
        if index < len(stages) - 1:
            graph.pool()
        graphs.append(graph)
    first = graphs[0].convolutions[0]
    graphs[0].convolutions[0] = Convolution(first.weight / np.float32(255), first.bias)
    return graphs


def _decoder(weights: WeightsFile) -> list[list[_Graph]]:
    """A chain of graphs for each segment: partial AdaIN stands between segments."""
    upsample_after = decoder_upsampling(weights)
    segments = [[_Graph()]]
    for index, convolution in enumerate(weights.convolutions[:-1]):
        segments[-1][-1].convolve(convolution)
        if index in weights.adain:
            segments.append([_Graph()])
        elif index in upsample_after:
            segments[-1].append(_Graph())
        if index in upsample_after:
            segments[-1][-1].upsample()
    last = weights.convolutions[-1]
    half = np.float32(0.5)  # so that cutting off the fraction rounds
    scaled = Convolution(last.weight * np.float32(255), last.bias * np.float32(255) + half)
    segments[-1][-1].convolve(scaled, CLIP_TO_BYTE)
    return segments


class _Bytes(ncnn.DataReader):  # type: ignore[misc]
    """Weights for ncnn to copy: its own reader from memory keeps pointing at what Python may free."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = data
        self._position = 0

    def read(self, buffer: Any, size: int) -> int:
        part = self._data[self._position : self._position + size]
        ctypes.memmove(_address(buffer, None), part, len(part))
        self._position += len(part)
        return len(part)


_address = ctypes.pythonapi.PyCapsule_GetPointer
_address.restype = ctypes.c_void_p
_address.argtypes = [ctypes.py_object, ctypes.c_char_p]
