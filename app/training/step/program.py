"""A phase's steps: tables of small numbers, chosen on the CPU, and what a device makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from app.training.data.crops import CHANCES, crops
from app.training.data.pool import Batch, Encoded, Pairs, Pool, Table
from app.training.data.seeds import generator
from app.training.data.shelf import Shelf
from app.training.options import TrainingOptions
from app.training.schedule import Phase
from app.training.step.colours import COLOUR_CHANNELS, plain_colours
from app.training.step.trainer import Losses, Trainer

# Part of the styles that are photographs changed in the same way; `pool` lends unchanged ones beside.
PHOTOS_AS_STYLES: Final = 0.2
# Before the first step of a phase the pool gets as many batches of crops as this.
FILLED_WITH: Final = 2


@dataclass(frozen=True)
class Choice:
    """All that a step is made of but the pictures: `table`, whose tensors are on the CPU, and how many are `own`."""

    table: Table
    own: int


class Program:
    """The steps of one phase, on the trainer's device, from pictures on a shelf.

    `first` is the first step that can have been of this phase and `step` the one to come: the pool gets what it would
    hold by then. What is chosen for a step is a function of the seed and of its number.
    """

    def __init__(self, trainer: Trainer, phase: Phase, shelf: Shelf, first: int, step: int) -> None:
        self.trainer = trainer
        self.phase = phase
        self.shelf = shelf
        options = trainer.options
        channels = COLOUR_CHANNELS + sum(trainer.encoder.channels)
        capacity = _capacity(options, phase)
        self.pool = Pool(capacity, phase.fresh, phase.size, channels, phase.inverts, trainer.device)
        self._seed = options.seed
        # A critic is to learn what paintings look like.
        self._photos = PHOTOS_AS_STYLES if options.adversarial == "none" else 0.0
        numbers = refill(options, phase, first, step)
        self._ahead = numbers.stop - step
        self.pool.added = numbers.start - first
        for number in numbers:
            self.add(moved(self._crops(number), trainer.device))

    def choose(self, step: int, rate: float) -> Choice:
        """What the step with that number, at that learning rate, is made of."""
        options, phase = self.trainer.options, self.phase
        random = generator(self._seed, "step", step)
        table = self._crops(step + self._ahead)
        own = 0
        if phase.inverts:
            table |= self.pool.choose_pairs(phase.batch, random)
        else:
            wished = int(phase.batch * options.identity_share + float(torch.rand((), generator=random)))
            own = min(wished, phase.fresh, phase.batch - 1)
            table |= self.pool.choose(phase.batch, own, random)
        if options.plain_weight and not phase.inverts:
            table["plain"] = plain_colours(random)
        table |= {"mix": torch.rand(phase.fresh, generator=random), "numbers": self.trainer.numbers(step, rate)}
        return Choice(table, own)

    def run(self, table: Table, own: int) -> Losses:
        """Take a step, but for `Trainer.settle`: `table` as it was chosen, on the device."""
        newest = self.add(table)
        plain = table.get("plain")
        return self.trainer.step(self.phase, newest, self.batch(table, own), table["numbers"], table["mix"], plain)

    def add(self, table: Table) -> Encoded:
        """Make a table's crops, encode them, and put them into the pool."""
        pixels, places = self.shelf.pixels, self.shelf.table
        pictures = crops(pixels, places, table["slots"], table["chances"], self.phase.fresh, self.phase.size)
        newest = self.trainer.encode(pictures)
        self.pool.add(newest, table)
        return newest

    def batch(self, table: Table, own: int) -> Batch | Pairs:
        """What a table takes from the pool."""
        return self.pool.pairs(table) if self.phase.inverts else self.pool.batch(table, own, self.trainer.decoded)

    def _crops(self, number: int) -> Table:
        fresh = self.phase.fresh
        self.shelf.turn(fresh)
        random = generator(self._seed, self.phase.size, number)
        chances = torch.rand(2 * fresh, CHANCES, generator=random)
        contents, styles, *drawn = self.shelf.filled
        photos = torch.rand(fresh, generator=random) < self._photos
        lent = torch.where(photos, _any(contents, fresh, random), _any(styles, fresh, random))
        for slots in drawn:
            chosen = torch.rand(fresh, generator=random) < self.trainer.options.drawn
            lent = torch.where(chosen, _any(slots, fresh, random), lent)
        return {"slots": torch.cat([_any(contents, fresh, random), lent]), "chances": chances} | self.pool.place()


def refill(options: TrainingOptions, phase: Phase, first: int, step: int) -> range:
    """The numbers of the crops that are in the pool before `step`, of a phase whose first step was `first` or later."""
    ahead = -(-FILLED_WITH * phase.batch // phase.fresh)
    refreshes = max(1, _capacity(options, phase) // phase.fresh)
    return range(max(first, step + ahead - refreshes + 1), step + ahead)


def moved(table: Table, device: torch.device) -> Table:
    """The same on a device."""
    return {name: tensor.to(device) for name, tensor in table.items()}


def _capacity(options: TrainingOptions, phase: Phase) -> int:
    return max(options.pool, FILLED_WITH * phase.batch)


def _any(slots: Sequence[int], count: int, random: torch.Generator) -> Tensor:
    places = torch.randint(len(slots), (count,), generator=random)
    return torch.tensor([slots[place] for place in places.tolist()])
