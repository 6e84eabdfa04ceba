"""The network in OpenVINO: in 8-bit integers where the processor multiplies those natively, or in bfloat16.

Both networks are built in memory from the files every engine reads, a stage for each scale of the picture, as for ncnn.
In int8 what passes between an encoder's stages is bytes. Integers add up to the same in any order, and ranges are the
weights' own: a picture's result is to the bit the same in any tiles, alone or beside others.
"""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from app.engine.base import Job, Picture, Steps, complete
from app.engine.stages import Rows
from app.engine.tiles import Limits, TiledNetwork
from app.network.blend import StyleCode
from app.network.layout import arithmetic, decoder_upsampling, encoder_stages
from app.network.quantisation import LEVELS, FloatArray, Grid, byte_grid, grid, quantised, rest, wide
from app.network.ranges import Ranges, read_ranges
from app.network.weights import DECODER, ENCODER, Convolution, WeightsFile, read_networks

Precision = Literal["float32", "bfloat16", "int8"]
# A call of OpenVINO's costs more than ncnn's, and bytes take less memory: slabs are so many times as high.
SLABS: Final = 2
HINTS: Final = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}


class OpenVINOEngine:
    """Encoder and decoder on the CPU in `precision`, each picture on `threads` threads.

    int8 takes the ranges that lie beside the decoder's file. Raises WeightsError when a weights file or these are
    missing or wrong, or do not belong together.
    """

    compile_seconds = 0.0

    def __init__(
        self,
        threads: int = 1,
        encoder: Path = ENCODER,
        decoder: Path = DECODER,
        limits: Limits | None = None,
        precision: Precision = "int8",
    ) -> None:
        limits = limits or Limits()
        encoding, decoding = read_networks(encoder, decoder)
        ranges = read_ranges(encoding, decoding) if precision == "int8" else None
        seen = sha256(ranges.encoded(encoding, decoding)).hexdigest() if ranges else None
        self.threads = threads
        self.precision = precision
        self.step_pixels = limits.tile_width**2
        compiler = _Compiler(threads, HINTS[precision], SLABS * limits.slab_rows)
        self._network = TiledNetwork(
            [compiler.stage(graph) for graph in _encoder(encoding, ranges)],
            [[compiler.stage(graph) for graph in segment] for segment in _decoder(decoding, ranges)],
            list(decoding.adain.values()),
            limits,
            arithmetic(encoding, decoding),
            gain=decoding.adain_gain,
            made_of=f"{self.name}, {ov.__version__}, {limits}, {encoding.sha256}, {decoding.sha256}, {seen}",
        )

    @property
    def name(self) -> str:
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        return f"OpenVINO on the CPU in {self.precision}, {threads}"

    def encode_style(self, picture: Picture, alpha: Picture | None = None) -> StyleCode:
        return complete(self.encode_style_steps(picture, alpha))

    def stylize(self, jobs: Sequence[Job]) -> list[Picture]:
        return complete(self.stylize_steps(jobs))

    def encode_style_steps(self, picture: Picture, alpha: Picture | None = None) -> Steps[StyleCode]:
        return (yield from self._network.encode_style_steps(picture, alpha))

    def stylize_steps(self, jobs: Sequence[Job]) -> Steps[list[Picture]]:
        return (yield from self._network.all_steps(jobs))


class _Graph:
    """A chain of layers on one input, (1, C, h, w): bytes, pixels or levels of `grid`, or float32 features."""

    def __init__(self, channels: int, bytes_in: bool, levels: Grid | None = None) -> None:
        self.parameter = ops.parameter([1, channels, -1, -1], np.uint8 if bytes_in else np.float32)
        self.last = ops.convert(self.parameter, np.float32) if bytes_in else self.parameter
        self.channels = channels
        self.convolutions = 0
        self._rest: Any = None
        self.up = self.down = 1
        self.bytes_out = False
        if levels is not None:
            # Bytes are levels already: to say so once more is what makes OpenVINO multiply bytes.
            self.quantise(Grid(np.zeros(1, np.float32), np.ones(1, np.float32)) if bytes_in else levels)

    def quantise(self, levels: Grid) -> None:
        """From values to levels."""
        self.last = self._levels(self.last, levels)

    def quantise_in_two(self, levels: Grid) -> None:
        """From values to levels, and to finer levels of what those leave, which the next convolution adds."""
        values = self.last
        self.quantise(levels)
        low, step = (part.reshape(1, -1, 1, 1) for part in (levels.low, levels.step))
        near = ops.add(ops.multiply(self.last, step), low)
        self._rest = self._levels(ops.subtract(values, near), rest(levels))

    def pool(self) -> None:
        self.down = 2
        self.last = ops.max_pool(self.last, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).output(0)

    def upsample(self) -> None:
        self.up = 2
        sizes = np.array([2.0, 2.0], np.float32)
        self.last = ops.interpolate(
            self.last, sizes, "nearest", "scales", np.zeros(4, int), np.zeros(4, int), "asymmetric", "floor",
            axes=np.array([2, 3]),
        )  # fmt: skip

    def convolve(self, convolution: Convolution, levels: Grid | None, relu: bool = True) -> None:
        """A convolution of values, or of `levels` where those are what comes."""
        if levels is None:
            convolved, bias = self._convolved(self.last, ops.constant(convolution.weight)), convolution.bias
        else:
            convolved, bias = self._of_levels(self.last, convolution, levels)
            if self._rest is not None:
                finer, more = self._of_levels(self._rest, convolution, rest(levels))
                convolved, bias = ops.add(convolved, finer), bias + more - convolution.bias
                self._rest = None
        self.last = ops.add(convolved, ops.constant(bias.reshape(1, -1, 1, 1)))
        self.convolutions += 1
        self.channels = len(bias)
        if relu:
            self.last = ops.relu(self.last)

    @staticmethod
    def _levels(x: Any, levels: Grid) -> Any:
        low, high = (edge.reshape(1, -1, 1, 1) for edge in (levels.low, levels.high))
        return ops.fake_quantize(x, low, high, np.float32(0), np.float32(LEVELS), LEVELS + 1)

    def _of_levels(self, x: Any, convolution: Convolution, levels: Grid) -> tuple[Any, FloatArray]:
        whole = quantised(convolution, levels)
        integers = ops.convert(ops.constant(whole.weight), np.float32)
        weight = ops.multiply(integers, ops.constant(whole.scale.reshape(-1, 1, 1, 1)))
        return self._convolved(x, weight), whole.bias

    @staticmethod
    def _convolved(x: Any, weight: Any) -> Any:
        margin = np.array([0, 0, 1, 1])
        padded = ops.pad(x, margin, margin, "reflect")
        return ops.convolution(padded, weight, [1, 1], [0, 0], [0, 0], [1, 1])

    def to_bytes(self) -> None:
        """Levels, or values of 0 to 255, out as bytes."""
        self.bytes_out = True

    def model(self) -> ov.Model:
        last = ops.convert(self.last, np.uint8) if self.bytes_out else self.last
        return ov.Model([ops.result(last)], [self.parameter], "stage")


class _Compiler:
    def __init__(self, threads: int, hint: str, slab_rows: int) -> None:
        self._core = ov.Core()
        self._slab_rows = slab_rows
        self._options = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_PRECISION_HINT": hint,
        }

    def stage(self, graph: _Graph) -> "_Stage":
        compiled = self._core.compile_model(graph.model(), "CPU", self._options)
        return _Stage(compiled.create_infer_request(), graph, self._slab_rows)


class _Stage:
    """A compiled graph; meets `app.engine.stages.Stage`."""

    def __init__(self, request: Any, graph: _Graph, slab_rows: int) -> None:
        self.up, self.down = graph.up, graph.down
        self.halo = -(-graph.convolutions // (self.up * self.down)) * self.down
        self.rows = slab_rows // (1 if self.down > 1 else 2)
        self._request = request
        self._channels = graph.channels
        self._dtype = np.uint8 if graph.bytes_out else np.float32

    def __call__(self, rows: Rows) -> Rows:
        rows = np.require(rows, None, ["C", "W"])
        result: Rows = np.empty(
            (self._channels, *(side * self.up // self.down for side in rows.shape[1:])), self._dtype
        )
        self._request.set_input_tensor(ov.Tensor(rows[None], shared_memory=True))
        self._request.set_output_tensor(ov.Tensor(result[None], shared_memory=True))
        self._request.infer(share_outputs=True)
        return result


def _encoder(weights: WeightsFile, ranges: Ranges | None) -> list[_Graph]:
    count = len(weights.convolutions)
    levels: list[Grid | None] = [None] * count
    if ranges:
        levels = [byte_grid(), *(grid(seen) for seen in ranges.encoder[1:])]
    graphs = []
    stages = encoder_stages(weights)
    number = 0
    for index, stage in enumerate(stages):
        channels = weights.widths[number][0]
        graph = _Graph(channels, not number or ranges is not None, levels[number])
        for _ in stage:
            convolution = weights.convolutions[number]
            if not number and ranges is None:
                convolution = Convolution(convolution.weight / np.float32(255), convolution.bias)
            graph.convolve(convolution, levels[number])
            number += 1
            following = levels[number] if number < count else None
            if following:
                graph.quantise(following)
        if index < len(stages) - 1:
            graph.pool()
            if ranges:
                graph.to_bytes()
        graphs.append(graph)
    return graphs


def _decoder(weights: WeightsFile, ranges: Ranges | None) -> list[list[_Graph]]:
    """A chain of graphs for each segment: partial AdaIN stands between segments."""
    upsample_after = decoder_upsampling(weights)
    levels: list[Grid | None] = [None] * len(weights.convolutions)
    first = _Graph(weights.widths[0][0], False)
    if ranges:
        # What AdaIN gives has longer tails than all else, and every layer after it amplifies what is lost here.
        in_two, *others = (grid(seen) for seen in ranges.decoder)
        levels = [wide(in_two), *others]
        first.quantise_in_two(wide(in_two))
    segments: list[list[_Graph]] = [[first]]
    for index, convolution in enumerate(weights.convolutions[:-1]):
        segments[-1][-1].convolve(convolution, levels[index])
        following, channels = levels[index + 1], weights.widths[index + 1][0]
        if index in weights.adain:
            segments.append([_Graph(channels, False, following)])
        else:
            if following:
                segments[-1][-1].quantise(following)
            if index in upsample_after:
                if following:
                    segments[-1][-1].to_bytes()
                segments[-1].append(_Graph(channels, following is not None, following))
        if index in upsample_after:
            segments[-1][-1].upsample()
    last = segments[-1][-1]
    final = weights.convolutions[-1]
    last.convolve(Convolution(final.weight * np.float32(255), final.bias * np.float32(255)), levels[-1], relu=False)
    last.last = ops.clamp(ops.round(last.last, "half_to_even"), 0, 255)
    last.to_bytes()
    return segments
