"""The network in ncnn: what runs it fastest on CPUs, by Winograd convolutions, and without torch.

Both networks are built in memory from the files every engine reads. Their first and last convolutions take the scale
of uint8 in, so that pixels go in as they are and come out ready to be cut to integers.
"""

import ctypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import ncnn
import numpy as np

from app.engine.base import Job, Picture, pad
from app.network.blend import EPSILON, ChannelStatistics, FloatArray, affine
from app.network.layout import decoder_upsampling, encoder_stages
from app.network.weights import DECODER, ENCODER, Convolution, WeightsError, WeightsFile, read_weights

RELU: Final = "9=1"
CLIP_TO_BYTE: Final = "9=3 -23310=2,0.0,255.0"


class NcnnEngine:
    """Encoder and decoder on the CPU, in float32, each picture on `threads` threads.

    Raises WeightsError when a weights file is missing or wrong.
    """

    def __init__(self, threads: int = 1, encoder: Path = ENCODER, decoder: Path = DECODER) -> None:
        self.threads = threads
        self._pools = (ncnn.PoolAllocator(), ncnn.PoolAllocator())
        self._encoder = _load(_encoder(read_weights(encoder)), threads, self._pools)
        self._decoder = _load(_decoder(read_weights(decoder)), threads, self._pools)
        self._last_shape: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return f"ncnn on the CPU, {self.threads} thread{'s' if self.threads > 1 else ''}"

    def encode_style(self, picture: Picture) -> ChannelStatistics:
        return _statistics(self._encode(pad(picture)))

    def stylize(self, jobs: Sequence[Job]) -> list[Picture]:
        return [self._stylize(job) for job in jobs]

    def _stylize(self, job: Job) -> Picture:
        features = self._encode(pad(job.content))
        content = _statistics(features)
        scale, bias = affine(
            content.mean,
            content.std,
            np.stack([style.mean for style in job.styles]),
            np.stack([style.std for style in job.styles]),
            job.share,
        )
        positions = features.shape[1:] if scale.shape[1] > 1 else (1, 1)
        features *= scale.reshape(-1, *positions)
        features += bias.reshape(-1, *positions)
        height, width = job.content.shape[:2]
        return np.ascontiguousarray(self._decode(features)[:height, :width])

    def _encode(self, picture: Picture) -> FloatArray:
        """uint8 (H, W, 3) of padded shape -> relu4_1, (512, H / 8, W / 8), valid until the next call."""
        height, width = picture.shape[:2]
        if picture.shape != self._last_shape:
            for pool in self._pools:
                pool.clear()
            self._last_shape = picture.shape
        pixels = np.ascontiguousarray(picture)
        return _run(self._encoder, ncnn.Mat.from_pixels(pixels, ncnn.Mat.PixelType.PIXEL_RGB, width, height))

    def _decode(self, features: FloatArray) -> Picture:
        """(512, h, w) -> uint8 (8h, 8w, 3)."""
        features = np.ascontiguousarray(features)
        return _run(self._decoder, ncnn.Mat(features)).astype(np.uint8).transpose(1, 2, 0)


def _statistics(features: FloatArray) -> ChannelStatistics:
    positions = features.reshape(features.shape[0], -1)
    mean = positions.mean(axis=1, dtype=np.float64)
    variance = positions.var(axis=1, dtype=np.float64)
    return ChannelStatistics(mean.astype(np.float32), np.sqrt(variance + EPSILON).astype(np.float32))


class _Graph:
    """A chain of layers in ncnn's text format, and the weights its convolutions read in that order."""

    def __init__(self) -> None:
        self.layers: list[str] = []
        self.convolutions: list[Convolution] = []

    def add(self, kind: str, parameters: str) -> None:
        n = len(self.layers)
        self.layers.append(f"{kind} {kind}{n} 1 1 {n} {n + 1} {parameters}")

    def convolve(self, convolution: Convolution, activation: str) -> None:
        self.add("Padding", "0=1 1=1 2=1 3=1 4=2")
        outputs = convolution.weight.shape[0]
        self.add("Convolution", f"0={outputs} 1=3 5=1 6={convolution.weight.size} {activation}")
        self.convolutions.append(convolution)

    @property
    def text(self) -> str:
        lines = ["7767517", f"{len(self.layers) + 1} {len(self.layers) + 1}", "Input input 0 1 0", *self.layers]
        return "\n".join(lines) + "\n"

    @property
    def weights(self) -> bytes:
        flag = bytes(4)  # the weights that follow are float32
        return b"".join(flag + c.weight.tobytes() + c.bias.tobytes() for c in self.convolutions)


def _encoder(weights: WeightsFile) -> _Graph:
    graph = _Graph()
    convolutions = iter(weights.convolutions)
    for index, stage in enumerate(encoder_stages(weights)):
        if index:
            graph.add("Pooling", "0=0 1=2 2=2")
        for _ in stage:
            convolution = next(convolutions)
            if not graph.convolutions:
                convolution = Convolution(convolution.weight / np.float32(255), convolution.bias)
            graph.convolve(convolution, RELU)
    return graph


def _decoder(weights: WeightsFile) -> _Graph:
    graph = _Graph()
    upsample_after = decoder_upsampling(weights)
    for index, convolution in enumerate(weights.convolutions[:-1]):
        graph.convolve(convolution, RELU)
        if index in upsample_after:
            graph.add("Interp", "0=1 1=2.0 2=2.0")
    last = weights.convolutions[-1]
    half = np.float32(0.5)  # so that cutting off the fraction rounds
    graph.convolve(Convolution(last.weight * np.float32(255), last.bias * np.float32(255) + half), CLIP_TO_BYTE)
    return graph


def _load(graph: _Graph, threads: int, pools: tuple[Any, Any]) -> Any:
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_vulkan_compute = False
    # Half precision costs more than 1/255 of accuracy, and x86 has no arithmetic in it that would be faster.
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_packed = net.opt.use_bf16_storage = False
    # Tiles of 4x4: as fast as those of 6x6 here, more exact, and weights of half the size.
    net.opt.use_winograd63_convolution = False
    net.opt.blob_allocator, net.opt.workspace_allocator = pools
    if net.load_param_mem(graph.text) != 0 or net.load_model(_Bytes(graph.weights)) != 0:
        raise WeightsError("ncnn does not take this network; use the engine 'torch'")
    return net


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


def _run(net: Any, mat: Any) -> FloatArray:
    with net.create_extractor() as extractor:
        extractor.input(0, mat)
        code, output = extractor.extract(net.output_names()[0])
    if code != 0:
        raise MemoryError("ncnn could not run the network: out of memory")
    result: FloatArray = output.numpy()
    return result
