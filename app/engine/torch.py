"""The network in torch: the reference every other engine is held against, and the engine for GPUs."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from math import ceil
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
import torch
from torch import Tensor

from app.engine.base import Job, Picture, Steps, complete, pad, padded_shape
from app.engine.cuda import Recorded, Run, Transfers
from app.engine.stages import Rows
from app.engine.tiles import Limits, TiledNetwork
from app.network.adain import channel_statistics
from app.network.blend import ChannelStatistics, StyleCode, affine
from app.network.decoder import Decoder
from app.network.encoder import VGGEncoder
from app.network.layout import STRIDE
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
    """

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
        self.encoder = self._resident(VGGEncoder.from_weights(encoding))
        self.decoder = self._resident(Decoder.from_weights(decoding))
        self._adain = list(decoding.adain.values())
        self._transfers = Transfers(self.device)
        self._graphs = [Recorded(self._features), Recorded(self._pixels)] if on_gpu else []
        self._encode: Run
        self._decode: Run
        self._encode, self._decode = self._graphs or (self._features, self._pixels)
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
        (features,) = self._features(self._upload([picture]))
        shown = self.decoder.shown(features.to(self.dtype))
        visible = None if alpha is None else self._visible([alpha])
        return StyleCode(_statistics(features, visible), tuple(_statistics(layer, visible) for layer in shown))

    @torch.inference_mode()
    def stylize_steps(self, jobs: Sequence[Job]) -> Steps[list[Picture]]:
        if not all(self._fits(job.content) for job in jobs):
            return (yield from _in_turn(self._tiled, jobs))
        with suppress(torch.OutOfMemoryError):
            return self._whole(jobs)
        for graphs in self._graphs:
            graphs.forget()
        if self._graphs:
            torch.cuda.empty_cache()
        if len(jobs) == 1:
            return (yield from _in_turn(self._in_need, jobs))
        half = len(jobs) // 2
        first = yield from self.stylize_steps(jobs[:half])
        return [*first, *(yield from self.stylize_steps(jobs[half:]))]

    def _whole(self, jobs: Sequence[Job]) -> list[Picture]:
        coming = [(part, self._transfers.download(self._stylized(part))) for part in self._parts(jobs)]
        return [
            np.ascontiguousarray(result[: job.content.shape[0], : job.content.shape[1]])
            for part, pixels in coming
            for result, job in zip(pixels(), part, strict=True)
        ]

    def _parts(self, jobs: Sequence[Job]) -> Iterator[Sequence[Job]]:
        height, width = padded_shape(*jobs[0].content.shape[:2])
        count = max(1, PART_PIXELS // (height * width))
        for first in range(0, len(jobs), count):
            yield jobs[first : first + count]

    def _stylized(self, jobs: Sequence[Job]) -> Tensor:
        """uint8 (N, 8h, 8w, 3) on the device."""
        (features,) = self._encode(self._upload([job.content for job in jobs]))
        visible = None
        if any(job.alpha is not None for job in jobs):
            opaque = np.full(jobs[0].content.shape[:2], 255, np.uint8)
            visible = self._visible([opaque if job.alpha is None else job.alpha for job in jobs])
        means, stds = channel_statistics(features, visible)
        for feature, mean, std, job in zip(features, means, stds, jobs, strict=True):
            scale, bias = affine(
                mean.flatten(),
                std.flatten(),
                self._tensor(np.stack([style.relu4_1.mean for style in job.styles])),
                self._tensor(np.stack([style.relu4_1.std for style in job.styles])),
                self._tensor(job.share),
            )
            shape = (-1, 1, 1) if scale.shape[1] == 1 else feature.shape
            feature.mul_(scale.view(shape)).add_(bias.view(shape))
        return self._decode(features, *self._wanted(jobs, features, visible))[0]

    def _wanted(self, jobs: Sequence[Job], features: Tensor, visible: Tensor | None) -> tuple[Tensor, ...]:
        """What partial AdaIN needs of each job: its styles' statistics (N, S, 2, C), shares (N, S, h, w), `visible`.

        Jobs of fewer styles than others have some of share 0; of N jobs without masks shares are (N, S, 1, 1).
        """
        if not self.decoder.adain:
            return ()
        most = max(len(job.styles) for job in jobs)
        codes = [[*job.styles, *[job.styles[0]] * (most - len(job.styles))] for job in jobs]
        masked = any(job.share.shape[1] > 1 for job in jobs)
        size = tuple(features.shape[2:]) if masked else (1, 1)
        share = np.zeros((len(jobs), most, size[0] * size[1]), np.float32)
        for row, job in zip(share, jobs, strict=True):
            row[: len(job.share)] = job.share
        styles = [[np.concatenate([(s.mean, s.std) for s in code.decoded], 1) for code in row] for row in codes]
        wanted = self._tensor(np.array(styles)), self._tensor(share.reshape(len(jobs), most, *size))
        return wanted if visible is None else (*wanted, visible)

    def _tiles(self, limits: Limits) -> TiledNetwork:
        segments = [[_Decoding(self, limits, number)] for number in range(len(self.decoder.adain) + 1)]
        return TiledNetwork([_Encoding(self, limits)], segments, self._adain, limits)

    def _resident(self, module: ModuleT) -> ModuleT:
        module.eval().requires_grad_(False)
        return module.to(self.device, self.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def _fits(self, picture: Picture) -> bool:
        height, width = padded_shape(*picture.shape[:2])
        return height * width <= self.step_pixels

    def _features(self, batch: Tensor) -> tuple[Tensor]:
        """uint8 (N, H', W', 3) -> relu4_1, float32 (N, 512, h, w)."""
        images = batch.permute(0, 3, 1, 2).to(self.dtype).div_(255)  # channels_last, as it lies in memory
        return (self.encoder(images).float(),)

    def _pixels(self, features: Tensor, *wanted: Tensor) -> tuple[Tensor]:
        """(N, 512, h, w), with what `_wanted` gives -> uint8 (N, 8h, 8w, 3)."""
        pixels = _as_bytes(self.decoder(features.to(self.dtype), *wanted))
        return (pixels.permute(0, 2, 3, 1).contiguous(),)

    def _upload(self, pictures: Sequence[Picture]) -> Tensor:
        """uint8 (H, W, 3) each -> padded, uint8 (N, H', W', 3), a quarter of float32's bytes to transfer."""
        return self._transfers.upload(np.stack([pad(picture) for picture in pictures]))

    def _visible(self, alphas: Sequence[Picture]) -> Tensor:
        """uint8 (H, W) each -> padded, float32 (N, 1, H', W') in [0, 1]."""
        return self._upload(alphas)[:, None].float().div_(255)

    def _tensor(self, array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Tensor:
        return torch.from_numpy(array).to(self.device)


class _Encoding:
    """The whole encoder as one stage of a tiled run."""

    up, down = 1, STRIDE

    def __init__(self, engine: TorchEngine, limits: Limits) -> None:
        seen = sum(len(stage) * 2**scale for scale, stage in enumerate(engine.encoder.stages))
        self.halo = ceil(seen / STRIDE) * STRIDE
        self.rows = max(STRIDE, limits.tile_width // STRIDE * STRIDE - 2 * self.halo)
        self._engine = engine

    def __call__(self, rows: Rows) -> Rows:
        (features,) = self._engine._features(self._engine._upload([rows.transpose(1, 2, 0)]))
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


def _in_turn(tiles: TiledNetwork, jobs: Sequence[Job]) -> Steps[list[Picture]]:
    pictures = []
    for job in jobs:
        pictures.append((yield from tiles.stylize_steps(job)))
    return pictures


def _as_bytes(pixels: Tensor) -> Tensor:
    return pixels.float().mul(255).round_().clamp_(0, 255).to(torch.uint8)


def _statistics(features: Tensor, visible: Tensor | None) -> ChannelStatistics:
    """Of one picture, (1, C, h, w)."""
    mean, std = channel_statistics(features.float(), visible)
    return ChannelStatistics(mean.flatten().cpu().numpy(), std.flatten().cpu().numpy())
