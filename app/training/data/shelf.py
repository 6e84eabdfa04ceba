"""Pictures decoded once and kept on the device that trains, where crops of many are made at a time."""

import logging
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor
from tqdm import tqdm

from app.images.errors import ImageError
from app.training.data.splits import Source
from app.training.errors import TrainingError

logger = logging.getLogger("impasto.training")

# Each half the side of the one before: a crop far smaller than its picture reads few pixels, and none is left out.
LEVELS: Final = 6
BYTES: Final = 4  # of a pixel: RGB and one unused, so that it is read as one number
# With fewer at a time, batches would be of the same few pictures for long.
LEAST_SLOTS: Final = 64
READ_AHEAD: Final = 4  # pictures, by each thread


@dataclass(frozen=True)
class Slot:
    """A place for a picture: `pixels` of the buffer from `offset` on."""

    offset: int
    pixels: int


@dataclass(frozen=True)
class Levels:
    """A picture and its halves: int32 (pixels,), one level after the other, and their (height, width)."""

    pixels: Tensor
    sides: tuple[tuple[int, int], ...]


class Shelf:
    """Pictures of several groups, each group's drawn alike.

    `pixels`: int32, the buffer of all slots; in memory a pixel is R, G, B and a byte without meaning. `table`: int64
    (slots, LEVELS, 3), where each level of a slot's picture begins, its height and its width. `filled`: the slots of
    each group that have a picture.

    Where `memory` bytes have no room for all pictures, `turn` puts others in the place of those that are there longest.
    What is where is a function of the seed and of how many were put. Raises TrainingError where nothing can be read.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[Source]],
        read_at: int,
        memory: int,
        device: torch.device,
        threads: int,
        seed: int,
        turned: int = 0,
    ) -> None:
        self.turned = turned
        self._groups = groups
        self._read_at = read_at
        self._device = device
        random = Generator().manual_seed(seed)
        self._orders: list[list[int]] = [torch.randperm(len(group), generator=random).tolist() for group in groups]
        room = [
            [_room(group[index], read_at) for index in order] for group, order in zip(groups, self._orders, strict=True)
        ]
        self._slots = _slots(room, memory, read_at)
        self._first = [sum(map(len, self._slots[:group])) for group in range(len(groups))]
        self._turning = [g for g, slots in enumerate(self._slots) if len(slots) < len(groups[g])]
        end = self._slots[-1][-1]
        self.pixels = torch.zeros(end.offset + end.pixels, dtype=torch.int32, device=device)
        self.table = torch.ones(sum(map(len, self._slots)), LEVELS, 3, dtype=torch.int64, device=device)
        self.filled: list[list[int]] = [[] for _ in groups]
        self._pool = ThreadPoolExecutor(threads)
        self._coming: deque[list[Future[Levels | None]]] = deque()
        self._ahead = READ_AHEAD * threads
        self._fill()

    def summary(self) -> str:
        """How many pictures it holds, in how many bytes."""
        size = (
            f"{self.pixels.numel() * BYTES / 2**30:.2f} GiB of {'the GPU' if self._device.type == 'cuda' else 'memory'}"
        )
        held, there = len(self.table), sum(map(len, self._groups))
        if not self._turning:
            return f"{held} pictures decoded, in {size}"
        return (
            f"{held} of {there} pictures at a time, in {size}: a larger --picture-memory would spare reading them again"
        )

    def turn(self, count: int) -> None:
        """Put the next `count` pictures of each group that is not there whole."""
        for _ in range(count if self._turning else 0):
            while len(self._coming) <= self._ahead:
                number = self.turned + len(self._coming)
                self._coming.append([self._pool.submit(self._read, g, self._put_by(g, number)) for g in self._turning])
            for group, coming in zip(self._turning, self._coming.popleft(), strict=True):
                self._put(group, self.turned % len(self._slots[group]), coming.result())
            self.turned += 1

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _put_by(self, group: int, number: int) -> int:
        """The picture that is put by a group's turn `number`, after those it began with."""
        order = self._orders[group]
        return order[(len(self._slots[group]) + number) % len(order)]

    def _held(self, group: int, place: int) -> int:
        """The picture that is in one of a group's slots by now."""
        slots = len(self._slots[group])
        if group not in self._turning or self.turned <= place:
            return self._orders[group][place]
        return self._put_by(group, self.turned - 1 - (self.turned - 1 - place) % slots)

    def _fill(self) -> None:
        places = [(group, place) for group, slots in enumerate(self._slots) for place in range(len(slots))]
        reading = self._pool.map(lambda at: self._read(at[0], self._held(*at)), places)
        bar = tqdm(reading, "decoding pictures", len(places), leave=False, unit="picture", delay=1)
        try:
            for (group, place), levels in zip(places, bar, strict=True):
                self._put(group, place, levels)
        except BaseException:
            self.close()
            raise
        for sources, filled in zip(self._groups, self.filled, strict=True):
            if not filled:
                raise TrainingError(f"{sources[0].path}: can no longer be read, nor can the others; are they there?")

    def _read(self, group: int, index: int) -> Levels | None:
        source = self._groups[group][index]
        try:
            levels = _levels(source.read(self._read_at))
        except (OSError, ImageError) as error:
            logger.warning("%s is no longer readable (%s); it is left out", source.path, error)
            return None
        return Levels(levels.pixels.pin_memory(), levels.sides) if self._device.type == "cuda" else levels

    def _put(self, group: int, place: int, levels: Levels | None) -> None:
        slot = self._slots[group][place]
        # A file that has changed since it was examined may be larger.
        if levels is None or len(levels.pixels) > slot.pixels:
            return
        number = self._first[group] + place
        self.pixels[slot.offset : slot.offset + len(levels.pixels)].copy_(levels.pixels, non_blocking=True)
        rows, offset = [], slot.offset
        for height, width in levels.sides:
            rows.append([offset, height, width])
            offset += height * width
        self.table[number] = torch.tensor(rows).to(self._device, non_blocking=True)
        if number not in self.filled[group]:
            self.filled[group].append(number)


def _slots(room: Sequence[Sequence[int]], memory: int, read_at: int) -> list[list[Slot]]:
    """Of each group, as large as its pictures in their order; or alike and fewer, where these don't fit."""
    if BYTES * sum(map(sum, room)) <= memory:
        counts, sizes = [len(group) for group in room], [pixels for group in room for pixels in group]
    else:
        largest = max(map(max, room))
        free = memory // (BYTES * largest)
        if free < LEAST_SLOTS:
            least = LEAST_SLOTS * BYTES * largest
            raise TrainingError(
                f"--picture-memory: has room for {free} pictures of {read_at} pixels; give {least} bytes"
            )
        counts = [0] * len(room)
        # The smaller first: what they leave is the others'.
        for done, group in enumerate(sorted(range(len(room)), key=lambda g: len(room[g]))):
            counts[group] = min(len(room[group]), free // (len(room) - done))
            free -= counts[group]
        sizes = [largest] * sum(counts)
    slots, offset = [], 0
    for pixels in sizes:
        slots.append(Slot(offset, pixels))
        offset += pixels
    ends = [sum(counts[: group + 1]) for group in range(len(counts))]
    return [slots[end - count : end] for end, count in zip(ends, counts, strict=True)]


def _room(source: Source, read_at: int) -> int:
    """Pixels that a picture's levels take at most."""
    scale = min(1.0, read_at / max(source.height, source.width))
    height, width = (ceil(side * scale) + 1 for side in (source.height, source.width))
    return sum(-(-height // 2**level) * -(-width // 2**level) for level in range(LEVELS))


def _levels(picture: Tensor) -> Levels:
    """Of uint8 (3, H, W)."""
    image = Image.fromarray(picture.permute(1, 2, 0).numpy())
    parts, sides = [], []
    for level in range(LEVELS):
        image = image.reduce(2) if level else image
        parts.append(torch.from_numpy(np.array(image.convert("RGBX")).reshape(-1).view(np.int32)))
        sides.append((image.height, image.width))
    return Levels(torch.cat(parts), tuple(sides))
