"""The network in torch: the reference every other engine is held against, and the engine for GPUs."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import ClassVar, Final, TypeVar

import numpy as np
import torch
from torch import Tensor

from app.engine.base import Job, Picture, feature_grid, pad, padded_shape
from app.engine.cuda import Recorded, Transfers
from app.engine.faults import out_of_memory
from app.engine.stages import Rows
from app.engine.tiles import Limits, TiledNetwork
from app.network.adain import blended, channel_statistics
from app.network.blend import ChannelStatistics, FloatArray, StyleCode
from app.network.decoder import Decoder
from app.network.encoder import VGGEncoder
from app.network.layout import FEATURES, STRIDE
from app.network.weights import DECODER, ENCODER, read_networks

TILE_IN_NEED: Final = 512  # pixels: what runs where nothing larger does
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
        self._transfers = Transfers(self.device)
        self._graphs = Recorded(self._stylized) if on_gpu else None
        self._whole_pixels = limits.tile_width**2
        self._tiled = self._tiles(limits)
        self._in_need = self._tiles(replace(limits, tile_width=min(limits.tile_width, TILE_IN_NEED)))

    @property
    def name(self) -> str:
        return f"torch on {self.device}"

    @torch.inference_mode()
    def encode_style(self, picture: Picture) -> StyleCode:
        if not self._fits(picture):
            return self._tiled.encode_style(picture)
        try:
            return self._style_code(picture)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
        self._give_memory_back()
        return self._in_need.encode_style(picture)

    def _style_code(self, picture: Picture) -> StyleCode:
        features = self._features(self._upload([picture]))
        shown = self.decoder.shown(features.to(self.dtype))
        return StyleCode(_statistics(features), tuple(map(_statistics, shown)))

    @torch.inference_mode()
    def stylize(self, jobs: Sequence[Job]) -> list[Picture]:
        if not all(self._fits(job.content) for job in jobs):
            return [self._tiled.stylize(job) for job in jobs]
        try:
            return self._whole(jobs)
        except RuntimeError as error:
            if not out_of_memory(error):
                raise
        self._give_memory_back()
        if len(jobs) == 1:
            return [self._in_need.stylize(jobs[0])]
        half = len(jobs) // 2
        return [*self.stylize(jobs[:half]), *self.stylize(jobs[half:])]

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

    def _inputs(self, jobs: Sequence[Job]) -> tuple[Tensor, Tensor, Tensor]:
        """What `_stylized` takes; jobs of fewer styles than others have some more, of share 0."""
        most = max(len(job.styles) for job in jobs)
        masked = any(job.share.shape[1] > 1 for job in jobs)
        size = feature_grid(*jobs[0].content.shape[:2]) if masked else (1, 1)
        codes = [[*job.styles, *[job.styles[0]] * (most - len(job.styles))] for job in jobs]
        shares = np.zeros((len(jobs), most, size[0] * size[1]), np.float32)
        for share, job in zip(shares, jobs, strict=True):
            share[: len(job.share)] = job.share
        return (
            self._upload([job.content for job in jobs]),
            self._transfers.upload([np.stack([_statistics_of(code) for code in row]) for row in codes]),
            self._transfers.upload(list(shares.reshape(len(jobs), most, *size))),
        )

    def _stylized(self, batch: Tensor, styles: Tensor, share: Tensor) -> Tensor:
        """uint8 (N, H', W', 3) -> repainted, of the same shape.

        `styles` (N, S, 2, C) are relu4_1's statistics of S styles each, and those of the layers with partial AdaIN;
        `share` (N, S, h, w) over relu4_1's positions, or (N, S, 1, 1) where all are alike.
        """
        relu4_1, decoded = torch.split(styles, [FEATURES, styles.shape[3] - FEATURES], 3)
        features = blended(self._features(batch), relu4_1, share)
        pixels = _as_bytes(self.decoder(features.to(self.dtype), decoded if self.decoder.adain else None, share))
        return pixels.permute(0, 2, 3, 1).contiguous()

    def _tiles(self, limits: Limits) -> TiledNetwork:
        segments = [[_Decoding(self, limits, number)] for number in range(len(self.decoder.adain) + 1)]
        return TiledNetwork([_Encoding(self, limits)], segments, self._adain, limits)

    def _resident(self, module: ModuleT) -> ModuleT:
        module.eval().requires_grad_(False)
        return module.to(self.device, self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def _fits(self, picture: Picture) -> bool:
        height, width = padded_shape(*picture.shape[:2])
        return height * width <= self._whole_pixels

    def _features(self, batch: Tensor) -> Tensor:
        """uint8 (N, H', W', 3) -> relu4_1, float32 (N, 512, h, w)."""
        images = batch.permute(0, 3, 1, 2).to(self.dtype).div_(255)  # channels_last, as it lies in memory
        features: Tensor = self.encoder(images).float()
        return features

    def _upload(self, pictures: Sequence[Picture]) -> Tensor:
        """uint8 (H, W, 3) each -> padded, uint8 (N, H', W', 3), a quarter of float32's bytes to transfer."""
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


def _statistics(features: Tensor) -> ChannelStatistics:
    """Of one picture, (1, C, h, w)."""
    mean, std = channel_statistics(features.float())
    return ChannelStatistics(mean.flatten().cpu().numpy(), std.flatten().cpu().numpy())


def _statistics_of(code: StyleCode) -> FloatArray:
    """A style code as one array, (2, C): means, then deviations, of all its layers."""
    return np.concatenate([(layer.mean, layer.std) for layer in (code.relu4_1, *code.decoded)], 1)
