"""Random crops for training: what is drawn is a function of seed, crop size and place in the stream alone."""

import hashlib
import logging
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from app.evaluation.pictures import read
from app.images.errors import ImageError
from app.training.errors import TrainingError

logger = logging.getLogger("impasto.training")

# Parts of a picture's area that a crop covers: styles from closer up, so that strokes of many sizes are seen.
CONTENT_AREA: Final = (0.2, 1.0)
STYLE_AREA: Final = (0.05, 1.0)
# Paintings are few: turned, so that strokes slant, stretched, recoloured and sharpened they are many.
STYLE_ASPECT: Final = (0.7, 1.4)
# Part of the styles that are photographs changed in the same way; `pool` lends unchanged ones beside.
PHOTOS_AS_STYLES: Final = 0.2
READ_AT: Final = 640
ATTEMPTS: Final = 20


class Crops(Dataset[tuple[Tensor, Tensor]]):
    """Item i: uint8 (count, 3, size, size) of contents, and of styles, of which a part `photos` are of contents too."""

    def __init__(
        self,
        contents: Sequence[Path],
        styles: Sequence[Path],
        size: int,
        count: int,
        seed: int,
        photos: float = PHOTOS_AS_STYLES,
    ) -> None:
        self.contents = contents
        self.styles = styles
        self.size = size
        self.count = count
        self.seed = seed
        self.photos = photos
        self._crop_content = v2.Compose(
            [v2.RandomResizedCrop(size, CONTENT_AREA, (1.0, 1.0), antialias=True), v2.RandomHorizontalFlip()]
        )
        self._crop_style = v2.Compose(
            [
                v2.RandomApply([Turned()], 0.3),
                v2.RandomResizedCrop(size, STYLE_AREA, STYLE_ASPECT, antialias=True),
                v2.RandomHorizontalFlip(),
                v2.RandomVerticalFlip(0.25),
                v2.RandomApply([v2.RandomChannelPermutation()], 0.35),
                v2.RandomApply([v2.ColorJitter(0.3, 0.4, 0.4, 0.15)], 0.5),
                v2.RandomGrayscale(0.05),
                v2.RandomInvert(0.1),
                v2.RandomAutocontrast(0.2),
                v2.RandomPosterize(bits=2, p=0.1),
                v2.RandomAdjustSharpness(5, 0.2),
            ]
        )

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(self.seed, self.size, index))
            contents = [self._crop_content(self._any(self.contents)) for _ in range(self.count)]
            styles = [self._crop_style(self._any(self._lenders())) for _ in range(self.count)]
        return torch.stack(contents), torch.stack(styles)

    def _lenders(self) -> Sequence[Path]:
        return self.contents if float(torch.rand(())) < self.photos else self.styles

    def _any(self, paths: Sequence[Path]) -> Tensor:
        for _ in range(ATTEMPTS):
            path = paths[int(torch.randint(len(paths), ()))]
            try:
                return read(path, max(READ_AT, 2 * self.size))
            except (OSError, ImageError) as error:
                logger.warning("%s is no longer readable (%s); another is taken", path, error)
        raise TrainingError(f"{ATTEMPTS} pictures in a row can no longer be read, {path} the last; are they there?")


class Turned(nn.Module):
    """Turns a picture, uint8 (C, H, W), by any angle and keeps the largest middle square that is all picture."""

    def forward(self, picture: Tensor) -> Tensor:
        side = max(1, int(min(picture.shape[-2:]) / 2**0.5))
        turned = v2.functional.rotate(picture, float(torch.rand(()) * 360), v2.InterpolationMode.BILINEAR)
        square: Tensor = v2.functional.center_crop(turned, [side, side])
        return square


def seed_of(*parts: int | str) -> int:
    """One seed of 63 bits from several numbers, each combination with its own."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def stream(crops: Crops, first: int, stop: int, workers: int, pin: bool) -> Iterator[tuple[Tensor, Tensor]]:
    """Items `first` to `stop` - 1 in order, prepared ahead by worker processes."""
    loader = DataLoader(
        crops,
        batch_size=None,
        sampler=range(first, stop),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=pin,
        worker_init_fn=_leave_signals_to_the_run,
    )
    return iter(loader)


def _leave_signals_to_the_run(worker: int) -> None:
    # Ctrl-C and a supervisor's SIGTERM reach whole process groups; the run stops its workers itself when it has saved.
    if hasattr(os, "setsid"):
        os.setsid()
    else:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
