"""The network in torch: the reference every other engine is held against, and the engine for GPUs."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import ClassVar, Final, TypeVar

import numpy as np
import torch
from torch import Tensor

from app.engine.base import Job, Picture, Steps, complete, feature_grid, pad, padded_shape
from app.engine.cuda import Recorded, Transfers
from app.engine.faults import out_of_memory
from app.engine.stages import Rows
from app.engine.tiles import Limits, TiledNetwork
from app.network.adain import blended, channel_statistics
from app.network.blend import ChannelStatistics, FloatArray, StyleCode
from app.network.decoder import Decoder
from app.network.encoder import VGGEncoder
from app.network.layout import FEATURES, STRIDE, arithmetic
from app.network.weights import DECODER, ENCODER, read_networks

TILE_IN_NEED: Final = 512  # pixels: what runs where nothing larger does
# A GPU finds kernels for a shape it has not seen, and loads or builds them.
GPU_COMPILE_SECONDS: Final = 60.0
PART_PIXELS: Final = 2**20  # fills a GPU: while one part of a batch is computed, the next comes and the last one goes

ModuleT = TypeVar("ModuleT", VGGEncoder, Decoder)


class TorchEngine:
    """Encoder and decoder resident on one torch device, channels_last; in `dtype`, by default float16 on a GPU.

    Pictures up to a tile's size run whole, as batches; larger ones in tiles. Where the device has too little memory, a
    batch is halved, and at last its picture run in small tiles. Raises WeightsError when a weights file is missing or
    wrong, or the two do not belong together.

    `networks` are the classes that compute; whatever takes their place gives the same from the same weights.
    """

    networks: ClassVar[tuple[type[VGGEncoder], type[Decoder]]] = (VGGEncoder, Decoder)

    def __init__(
        self,
        device: str = "cpu",
        encoder: Path = ENCODER,
        decoder: Path = DECODER,
        limits: Limits | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        limits = limits or Limits()
        self.device = torch.device(device)
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            torch.cuda.set_device(self.device)  # of this thread
        self.dtype = dtype or (torch.float16 if on_gpu else torch.float32)
        encoding, decoding = read_networks(encoder, decoder)
        encoder_class, decoder_class = self.networks
        self.encoder = self._resident(encoder_class.from_weights(encoding))
        self.decoder = self._resident(decoder_class.from_weights(decoding))
        self._adain = list(decoding.adain.values())
        self._costs = arithmetic(encoding, decoding)
        device_name = torch.cuda.get_device_name(self.device) if on_gpu else f"{torch.get_num_threads()} threads"
        self._made_of = (
            f"{self.name}, {device_name}, {self.dtype}, {torch.__version__}, {encoding.sha256}, {decoding.sha256}"
        )
        self._transfers = Transfers(self.device)
        self._graphs = Recorded(self._stylized) if on_gpu else None
        self.step_pixels = limits.tile_width**2
        self.compile_seconds = GPU_COMPILE_SECONDS if on_gpu else 0.0
        self._tiled = self._tiles(limits)
        self._in_need = self._tiles(replace(limits, tile_width=min(limits.tile_width, TILE_IN_NEED)))

    @property
    def name(self) -> str:
        return f"torch on {self.device}"

    def encode_style(self, picture: Picture, alpha: Picture | None = None) -> StyleCode:
        return complete(self.encode_style_steps(picture, alpha))

    def stylize(self, jobs: Sequence[Job]) -> list[Picture]:
        return complete(self.stylize_steps(jobs))

    @torch.inference_mode()
    def encode_style_steps(self, picture: Picture, alpha: Picture | None = None) -> Steps[StyleCode]:
        if not self._fits(picture):
            return (yield from self._tiled.encode_style_steps(picture, alpha))
        try:
            return self._style_code(picture, alpha)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
        self._give_memory_back()
        return (yield from self._in_need.encode_style_steps(picture, alpha))

    @torch.inference_mode()
    def stylize_steps(self, jobs: Sequence[Job]) -> Steps[list[Picture]]:
        if not all(self._fits(job.content) for job in jobs):
            return (yield from self._tiled.all_steps(jobs))
        try:
            return self._whole(jobs)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
        self._give_memory_back()
        if len(jobs) == 1:
            return (yield from self._in_need.all_steps(jobs))
        half = len(jobs) // 2
        first = yield from self.stylize_steps(jobs[:half])
        return [*first, *(yield from self.stylize_steps(jobs[half:]))]

    def _style_code(self, picture: Picture, alpha: Picture | None) -> StyleCode:
        features = self._features(self._upload([picture]))
        shown = self.decoder.shown(features.to(self.dtype))
        visible = None if alpha is None else _visible(self._upload([alpha]))
        return StyleCode(_statistics(features, visible), tuple(_statistics(layer, visible) for layer in shown))

    def _whole(self, jobs: Sequence[Job]) -> list[Picture]:
        run = self._graphs or self._stylized
        coming = [(part, self._transfers.download(run(*self._inputs(part)))) for part in self._parts(jobs)]
        return [
            np.ascontiguousarray(result[: job.content.shape[0], : job.content.shape[1]])
            for part, pixels in coming
            for result, job in zip(pixels(), part, strict=True)
        ]

    def _give_memory_back(self) -> None:
        if self._graphs:
            self._graphs.forget()
            torch.cuda.empty_cache()

    def _parts(self, jobs: Sequence[Job]) -> Iterator[Sequence[Job]]:
        height, width = padded_shape(*jobs[0].content.shape[:2])
        count = max(1, PART_PIXELS // (height * width))
        for first in range(0, len(jobs), count):
            yield jobs[first : first + count]

    def _inputs(self, jobs: Sequence[Job]) -> tuple[Tensor, ...]:
        """What `_stylized` takes; jobs of fewer styles than others have some more, of share 0."""
        most = max(len(job.styles) for job in jobs)
        masked = any(job.share.shape[1] > 1 for job in jobs)
        size = feature_grid(*jobs[0].content.shape[:2]) if masked else (1, 1)
        codes = [[*job.styles, *[job.styles[0]] * (most - len(job.styles))] for job in jobs]
        shares = np.zeros((len(jobs), most, size[0] * size[1]), np.float32)
        for share, job in zip(shares, jobs, strict=True):
            share[: len(job.share)] = job.share
        inputs = (
            self._upload([job.content for job in jobs]),
            self._transfers.upload([np.stack([_statistics_of(code) for code in row]) for row in codes]),
            self._transfers.upload(list(shares.reshape(len(jobs), most, *size))),
        )
        if all(job.alpha is None for job in jobs):
            return inputs
        return (*inputs, self._upload([_alpha(job) for job in jobs]))

    def _stylized(self, batch: Tensor, styles: Tensor, share: Tensor, alpha: Tensor | None = None) -> Tensor:
        """uint8 (N, H', W', 3) -> repainted, of the same shape.

        `styles` (N, S, 2, C) are relu4_1's statistics of S styles each, and those of the layers with partial AdaIN;
        `share` (N, S, h, w) over relu4_1's positions, or (N, S, 1, 1) where all are alike; `alpha` uint8 (N, H', W').
        """
        relu4_1, decoded = torch.split(styles, [FEATURES, styles.shape[3] - FEATURES], 3)
        visible = None if alpha is None else _visible(alpha)
        features = blended(self._features(batch), relu4_1, share, visible, self.decoder.adain_gain).to(self.dtype)
        pixels = self.decoder(features, decoded if self.decoder.adain else None, share, visible)
        return _as_bytes(pixels).permute(0, 2, 3, 1).contiguous()

    def _tiles(self, limits: Limits) -> TiledNetwork:
        segments = [[_Decoding(self, limits, number)] for number in range(len(self.decoder.adain) + 1)]
        return TiledNetwork(
            [_Encoding(self, limits)],
            segments,
            self._adain,
            limits,
            self._costs,
            gain=self.decoder.adain_gain,
            made_of=f"{self._made_of}, {limits}",
        )

    def _resident(self, module: ModuleT) -> ModuleT:
        module.eval().requires_grad_(False)
        return module.to(self.device, self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def _fits(self, picture: Picture) -> bool:
        height, width = padded_shape(*picture.shape[:2])
        return height * width <= self.step_pixels

    def _features(self, batch: Tensor) -> Tensor:
        """uint8 (N, H', W', 3) -> relu4_1, float32 (N, 512, h, w)."""
        images = batch.permute(0, 3, 1, 2).to(self.dtype).div_(255)  # channels_last, as it lies in memory
        features: Tensor = self.encoder(images).float()
        return features

    def _upload(self, pictures: Sequence[Picture]) -> Tensor:
        """uint8 (H, W, ...) each -> padded, uint8 (N, H', W', ...), a quarter of float32's bytes to transfer."""
        return self._transfers.upload([pad(picture) for picture in pictures])


class _Encoding:
    """The whole encoder as one stage of a tiled run."""

    up, down = 1, STRIDE

    def __init__(self, engine: TorchEngine, limits: Limits) -> None:
        seen = sum(len(stage) * 2**scale for scale, stage in enumerate(engine.encoder.stages))
        self.halo = ceil(seen / STRIDE) * STRIDE
        self.rows = max(STRIDE, limits.tile_width // STRIDE * STRIDE - 2 * self.halo)
        self._engine = engine

    def __call__(self, rows: Rows) -> Rows:
        features = self._engine._features(self._engine._upload([rows.transpose(1, 2, 0)]))
        array: Rows = features[0].cpu().numpy()
        return array


class _Decoding:
    """A segment of the decoder as one stage of a tiled run."""

    down = 1

    def __init__(self, engine: TorchEngine, limits: Limits, number: int) -> None:
        decoder = engine.decoder
        convs = decoder.segment_convs(number)
        before = sum(after < convs.start - 1 for after in decoder.upsample_after)
        scales = [sum(index > after for after in decoder.upsample_after) - before for index in convs]
        self.up = 2 ** scales[-1]
        self.halo = ceil(sum(0.5**scale for scale in scales))
        self.rows = max(1, limits.tile_width // STRIDE * 2**before - 2 * self.halo)
        self._engine = engine
        self._number = number

    def __call__(self, rows: Rows) -> Rows:
        engine = self._engine
        features = torch.from_numpy(np.ascontiguousarray(rows))[None].to(
            engine.device, engine.dtype, memory_format=torch.channels_last
        )
        result = engine.decoder.segment(self._number, features)[0]
        last = self._number == len(engine.decoder.adain)
        array: Rows = (_as_bytes(result) if last else result.float()).contiguous().cpu().numpy()
        return array


def _as_bytes(pixels: Tensor) -> Tensor:
    return pixels.float().mul(255).round_().clamp_(0, 255).to(torch.uint8)


def _alpha(job: Job) -> Picture:
    return np.full(job.content.shape[:2], 255, np.uint8) if job.alpha is None else job.alpha


def _visible(alpha: Tensor) -> Tensor:
    """uint8 (N, H', W') -> float32 (N, 1, H', W') in [0, 1]."""
    return alpha[:, None].float().div_(255)


def _statistics(features: Tensor, visible: Tensor | None) -> ChannelStatistics:
    """Of one picture, (1, C, h, w)."""
    mean, std = channel_statistics(features.float(), visible)
    return ChannelStatistics(mean.flatten().cpu().numpy(), std.flatten().cpu().numpy())


def _statistics_of(code: StyleCode) -> FloatArray:
    """A style code as one array, (2, C): means, then deviations, of all its layers."""
    return np.concatenate([(layer.mean, layer.std) for layer in (code.relu4_1, *code.decoded)], 1)
