"""The network in torch: the reference every other engine is held against, and the engine for GPUs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from app.engine.base import Job, Picture, pad
from app.network.adain import channel_statistics
from app.network.blend import ChannelStatistics, affine
from app.network.decoder import Decoder
from app.network.encoder import VGGEncoder
from app.network.weights import DECODER, ENCODER, read_weights


class TorchEngine:
    """Encoder and decoder resident on one torch device, channels_last, in float32.

    Raises WeightsError when a weights file is missing or wrong.
    """

    def __init__(self, device: str = "cpu", encoder: Path = ENCODER, decoder: Path = DECODER) -> None:
        self.device = torch.device(device)
        self.encoder = self._resident(VGGEncoder.from_weights(read_weights(encoder)))
        self.decoder = self._resident(Decoder.from_weights(read_weights(decoder)))

    @property
    def name(self) -> str:
        return f"torch on {self.device}"

    @torch.inference_mode()
    def encode_style(self, picture: Picture) -> ChannelStatistics:
        mean, std = channel_statistics(self.encoder(self._upload([picture])))
        return ChannelStatistics(mean.flatten().cpu().numpy(), std.flatten().cpu().numpy())

    @torch.inference_mode()
    def stylize(self, jobs: Sequence[Job]) -> list[Picture]:
        features = self.encoder(self._upload([job.content for job in jobs]))
        means, stds = channel_statistics(features)
        for feature, mean, std, job in zip(features, means, stds, jobs, strict=True):
            scale, bias = affine(
                mean.flatten(),
                std.flatten(),
                self._tensor(np.stack([style.mean for style in job.styles])),
                self._tensor(np.stack([style.std for style in job.styles])),
                self._tensor(job.share),
            )
            shape = (-1, 1, 1) if scale.shape[1] == 1 else feature.shape
            feature.mul_(scale.view(shape)).add_(bias.view(shape))
        pixels = self.decoder(features).mul_(255).round_().clamp_(0, 255).to(torch.uint8)
        results: list[Picture] = pixels.permute(0, 2, 3, 1).cpu().numpy()
        return [
            np.ascontiguousarray(result[: job.content.shape[0], : job.content.shape[1]])
            for result, job in zip(results, jobs, strict=True)
        ]

    def _resident(self, module: VGGEncoder | Decoder) -> VGGEncoder | Decoder:
        return module.eval().requires_grad_(False).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def _upload(self, pictures: Sequence[Picture]) -> Tensor:
        """uint8 (H, W, 3) each -> float32 (N, 3, H', W') in [0, 1], padded, channels_last as it lies in memory."""
        batch = torch.from_numpy(np.stack([pad(picture) for picture in pictures]))
        return batch.to(self.device).permute(0, 3, 1, 2).float().div_(255)

    def _tensor(self, array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Tensor:
        return torch.from_numpy(array).to(self.device)
