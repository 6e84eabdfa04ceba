"""Ranges for int8, taken once from pictures: what each convolution reads while photos are repainted."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, Self

import torch
from torch import Tensor, nn

from app.evaluation.device import resident
from app.evaluation.pictures import read_squares
from app.network.adain import adain, channel_statistics
from app.network.decoder import Decoder
from app.network.encoder import VGGEncoder
from app.network.quantisation import Range
from app.network.ranges import Ranges
from app.network.weights import WeightsFile

PAIRS: Final = 64


def pairs_of(contents: Sequence[Path], styles: Sequence[Path], most: int) -> list[tuple[Path, Path]]:
    """Photos with paintings, spread evenly over both; the shorter of the two begins again where it ends."""
    count = min(most, max(len(contents), len(styles)))
    return [
        (contents[n * len(contents) // count % len(contents)], styles[n * len(styles) // count % len(styles)])
        for n in range(count)
    ]


class Calibration:
    """Two networks, and what their convolutions have read so far."""

    def __init__(self, encoder: VGGEncoder, decoder: Decoder, device: torch.device) -> None:
        self._encoder, self._decoder, self._device = encoder, decoder, device
        self._seen: dict[nn.Module, Range] = {}

    @classmethod
    def of(cls, encoder: WeightsFile, decoder: WeightsFile, device: torch.device) -> Self:
        """Of two files' networks. Raises WeightsError as these do."""
        networks = VGGEncoder.from_weights(encoder).eval(), Decoder.from_weights(decoder).eval()
        return cls(resident(networks[0], device), resident(networks[1], device), device)

    def take(self, pairs: Sequence[tuple[Path, Path]], side: int, progress: Callable[[], object]) -> Ranges:
        """Repaint each photo in its painting, `side` x `side` pixels, and show both as they are.

        Raises EvaluationError for a picture that cannot be read.
        """
        with self._watched():
            for pair in pairs:
                self._show(read_squares(pair, side).to(self._device))
                progress()
        encoder, decoder = (
            tuple(self._seen[convolution] for convolution in network.convs)
            for network in (self._encoder, self._decoder)
        )
        return Ranges(encoder, decoder)

    @torch.inference_mode()
    def _show(self, pictures: Tensor) -> None:
        features = self._encoder(pictures)
        content, style = features[:1], features[1:]
        target = adain(content, *channel_statistics(style), self._decoder.adain_gain)
        self._decoder(target, self._decoder.statistics(style)[:, None])
        self._decoder(features)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        with ExitStack() as hooks:
            for convolution in (*self._encoder.convs, *self._decoder.convs):
                hooks.callback(convolution.register_forward_pre_hook(self._note).remove)
            yield

    def _note(self, convolution: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        low, high = (end.float().cpu().numpy() for end in torch.aminmax(inputs[0].transpose(0, 1).flatten(1), dim=1))
        seen = Range(low, high)
        self._seen[convolution] = self._seen[convolution].joined(seen) if convolution in self._seen else seen
