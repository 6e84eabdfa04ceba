"""The networks in training and one step of them."""

import copy
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from app.evaluation import metrics
from app.evaluation.device import resident
from app.evaluation.encoders import TapEncoder
from app.network.adain import adain
from app.network.decoder import Decoder
from app.network.layout import FEATURES
from app.training import checkpoint
from app.training.data.pool import Batch, Encoded, Pairs
from app.training.errors import TrainingError
from app.training.options import BETAS, TrainingOptions, decays
from app.training.schedule import Phase, ema_decay
from app.training.step import losses
from app.training.step.colours import COLOUR_CHANNELS, colour_moments, plain_pictures
from app.training.step.critic import Critic, critic_loss
from app.training.step.initial import revive, standardize
from app.training.step.soap import Soap

# Beyond this the encoder is not asked what it sees: only the range loss acts there.
SEEN: Final = (-0.2, 1.2)
# Of the learning rate: each row of partial AdaIN adds up hundreds of differences of one sign and of the size of 1.
ADAIN_RATE: Final = 0.1

Losses = dict[str, Tensor]


class NonFinite(Exception):
    """A loss or a gradient is infinite or not a number; `losses` as they were, the weights as before the step.

    `taken` steps were sound since it was last asked.
    """

    def __init__(self, losses: dict[str, float], taken: int = 0) -> None:
        super().__init__(", ".join(f"{name} {value:g}" for name, value in losses.items()))
        self.losses = losses
        self.taken = taken


class Trainer:
    """Decoder, its moving average `average`, optimizer, and the critic where there is one, on one device.

    A step asks nothing of a GPU that it would have to wait for, so that it can be recorded.
    """

    def __init__(self, options: TrainingOptions, encoder: TapEncoder, decoder: Decoder, device: torch.device) -> None:
        self.options = options
        self.device = device
        self.half = chosen_precision(options.precision, device)
        self.encoder = resident(encoder, device)
        self.decoder = resident(decoder, device)
        self.average = copy.deepcopy(self.decoder).eval().requires_grad_(False)
        self.optimizer = self._optimizer()
        self.critic = None
        if options.adversarial == "wgan-gp":
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(options.seed)
                self.critic = resident(Critic(), device)
            self.critic_adam = torch.optim.Adam(self.critic.parameters(), lr=0.0, betas=(0.0, 0.9))
        self.fuse(False)
        # Of each set of losses there was: their sums, and over how many steps.
        self._totals: dict[tuple[str, ...], Tensor] = {}
        self._counts: Counter[tuple[str, ...]] = Counter()
        self._sound = torch.ones((), dtype=torch.bool, device=device)
        self._taken = torch.zeros((), dtype=torch.int64, device=device)

    def fuse(self, fuses: bool) -> None:
        """Have torch compile what the networks compute, or not: a minute for each shape, and fewer passes of memory."""
        compiled: Callable[[Any], Any] = torch.compile(dynamic=False) if fuses else lambda function: function
        self.fused = fuses
        self._taps_of = compiled(self._encoded)
        self._decoding = compiled(self.decoder.statistics)
        self._stylising = compiled(self._stylised)
        self._inverting = compiled(self._inverted)

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Encoded:
        """Encode fresh crops, RGB (2n, 3, S, S) in [0, 1], contents before styles."""
        with self._autocast():
            return Encoded(pictures, *self._taps_of(pictures))

    def numbers(self, step: int, rate: float) -> Tensor:
        """What `step` takes, float32: all that changes from step to step but the batch."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["times"]
        return torch.tensor([*self.optimizer.numbers(), 1 - ema_decay(self.options, step)])

    def step(
        self,
        phase: Phase,
        newest: Encoded,
        batch: Batch | Pairs,
        numbers: Tensor,
        mix: Tensor,
        plain: Tensor | None = None,
    ) -> Losses:
        """Take one step, but for `settle`; returns losses, unweighted, and the gradient's norm before clipping.

        `mix` (n,), chances for the critic; `plain` (m, 3), flat colours that are to come back. Raises NonFinite on a
        CPU, and then has changed nothing; a GPU leaves the weights alone from then on, and `means` raises it.
        """
        if isinstance(batch, Pairs):
            with self._autocast():
                results, values = self._inverting(batch.features, batch.wanted)
        else:
            results, values = self._stylising(newest.pictures[: batch.own], newest.taps, batch, phase)
        if plain is not None:
            values["plain"] = self._plain(plain)
        total = torch.stack([self._weight(name) * value for name, value in values.items()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        values = {name: value.detach() for name, value in values.items()}
        values["total"] = total.detach()
        values["gradient"] = nn.utils.clip_grad_norm_(self.decoder.parameters(), self.options.clip or float("inf"))
        self._check(values)
        *_, keep = numbers.unbind()
        self.optimizer.update(self._bounded(numbers[:-1]))
        self._follow(keep)
        if self.critic is not None and isinstance(batch, Batch):
            styles = newest.pictures[len(mix) :][: len(results)]
            shown = results[-len(styles) :].detach().clamp(0, 1)
            values["critic"] = self._teach(self.critic, styles, shown, mix[: len(styles)])
        self._count(values)
        return values

    def settle(self, names: tuple[str, ...]) -> None:
        """What a step ends with that is not alike each time; `names` of the losses it returned."""
        self._counts[names] += 1
        self.optimizer.mend()

    def means(self) -> dict[str, float]:
        """Mean losses of the steps since it was last asked, for which a GPU is waited for.

        Raises NonFinite where one of them was not sound.
        """
        sums: Counter[str] = Counter()
        steps: Counter[str] = Counter()
        for names, totals in self._totals.items():
            sums.update(dict(zip(names, totals.tolist(), strict=True)))
            steps.update(dict.fromkeys(names, self._counts[names]))
            totals.zero_()
        taken, count = int(self._taken), self._counts.total()
        self._taken.zero_()
        self._counts.clear()
        found = {name: sums[name] / steps[name] for name in sums if steps[name]}
        if taken < count:
            raise NonFinite(found, taken)
        return found

    @torch.no_grad()
    def standardize(self, batch: Batch | Pairs) -> None:
        """Give random weights the scale and the bias that a batch asks for; see `initial.standardize`."""
        standardize(self.decoder, self._input(batch))
        self.average.load_state_dict(self.decoder.state_dict())

    @torch.no_grad()
    def revive(self, batch: Batch | Pairs, seed: int) -> int:
        """Begin anew with the channels a batch leaves silent; see `initial.revive`."""
        return revive(self.decoder, self.average, self._input(batch), seed)

    @torch.no_grad()
    def decoded(self, features: Tensor) -> Tensor:
        """Statistics (N, 2, C) of the layers with partial AdaIN while the decoder, as it is now, decodes `features`."""
        with self._autocast():
            statistics: Tensor = self._decoding(features)
            return statistics

    def target(self, batch: Batch) -> Tensor:
        """AdaIN of a batch: (N, 512, h, w)."""
        mean, std = batch.wanted[:, :, -FEATURES:, None, None].unbind(1)
        return adain(batch.features, mean, std, self.decoder.adain_gain).contiguous(memory_format=torch.channels_last)

    def tensors(self) -> dict[str, Tensor]:
        """Everything that `load` needs to go on."""
        tensors = checkpoint.module_tensors("decoder", self.decoder) | checkpoint.module_tensors(
            "average", self.average
        )
        tensors |= checkpoint.optimizer_tensors(self.options.optimizer, self.optimizer)
        if self.critic is not None:
            tensors |= checkpoint.module_tensors("critic", self.critic)
            tensors |= checkpoint.optimizer_tensors("critic_adam", self.critic_adam)
        return tensors

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Go on from what `tensors` gave. Raises TrainingError when they are of other networks."""
        try:
            checkpoint.load_module("decoder", self.decoder, tensors)
            checkpoint.load_module("average", self.average, tensors)
            checkpoint.load_optimizer(self.options.optimizer, self.optimizer, tensors)
            if self.critic is not None:
                checkpoint.load_module("critic", self.critic, tensors)
                checkpoint.load_optimizer("critic_adam", self.critic_adam, tensors)
        except RuntimeError as error:
            raise TrainingError(
                f"the checkpoint is of other networks ({str(error).splitlines()[-1].strip()})"
            ) from None

    def _input(self, batch: Batch | Pairs) -> Tensor:
        return self.target(batch) if isinstance(batch, Batch) else batch.features

    def _optimizer(self) -> Soap:
        parameters = [{"params": list(self.decoder.convs.parameters()), "times": 1.0}]
        if self.decoder.adain:
            parameters.append({"params": list(self.decoder.adain.parameters()), "times": ADAIN_RATE})
        return Soap(
            parameters,
            lr=0.0,
            betas=decays(self.options.betas or BETAS[self.options.optimizer]),
            product=torch.bfloat16 if self.half else torch.float32,
            turns=self.options.optimizer == "soap",
        )

    def _encoded(self, pictures: Tensor) -> tuple[list[Tensor], Tensor]:
        taps = self.encoder.taps(pictures)
        return taps, torch.cat([colour_moments(pictures), metrics.statistics(taps)], 2)

    def _plain(self, colours: Tensor) -> Tensor:
        wanted = plain_pictures(colours)
        with self._autocast():
            with torch.no_grad():
                features = self.encoder.taps(wanted)[-1]
            results = self.decoder(features)
        return losses.pixel_identity(results.float(), wanted)

    def _inverted(self, features: Tensor, wanted: Tensor) -> tuple[Tensor, Losses]:
        results = self.decoder(features).float()
        return results, {"identity": losses.pixel_identity(results, wanted)}

    def _stylised(self, own: Tensor, taken: list[Tensor], batch: Batch, phase: Phase) -> tuple[Tensor, Losses]:
        """Results and losses of a batch; the pictures `own` are to come back, and `taken` begins with their taps."""
        target = self.target(batch)
        inner = sum(self.decoder.adain_channels)
        with self._autocast():
            results = self.decoder(target, batch.wanted[:, None, :, :inner])
            # A picture in its own style is compared by its pixels; the encoder need not look unless it is to be asked.
            unseen = 0 if self.options.identity_features_weight else len(own)
            taps = self.encoder.taps(results[unseen:].clamp(*SEEN))
        results = results.float()
        wanted = batch.wanted[unseen:, :, -sum(self.encoder.channels) :]
        colours = batch.wanted[unseen:, :, inner : inner + COLOUR_CHANNELS]
        values = {
            "content": metrics.content_loss(taps[-1], target[unseen:]),
            "style": metrics.style_loss(metrics.statistics(taps), wanted, self.encoder.channels),
            "total_variation": losses.total_variation(results),
            "grid": losses.grid(results),
            "range": losses.out_of_range(results),
        }
        if self.options.colour_weight:
            values["colour"] = F.mse_loss(colour_moments(results[unseen:]), colours)
        if len(own):
            # Weighed by how many there are, so that a batch with one more of them counts for more.
            part = len(own) / (phase.batch * self.options.identity_share)
            values["identity"] = part * losses.pixel_identity(results[: len(own)], own)
            if self.options.identity_features_weight:
                values["identity_features"] = part * losses.feature_identity(
                    [tap[: len(own)] for tap in taps], [tap[: len(own)] for tap in taken]
                )
        if self.critic is not None:
            values["adversarial"] = -self.critic(results.clamp(*SEEN)).mean()
        return results, values

    def _check(self, values: Losses) -> None:
        finite = torch.isfinite(values["total"] + values["gradient"])
        if self.device.type == "cpu" and not bool(finite):
            raise NonFinite({name: float(value) for name, value in values.items()})
        self._sound.logical_and_(finite)
        self._taken.add_(self._sound)

    def _bounded(self, numbers: Tensor) -> Tensor:
        """The optimizer's numbers; once a GPU's step was not sound, no gradient and no rate."""
        if self.device.type == "cpu":
            return numbers
        for parameter in self.decoder.parameters():
            if parameter.grad is not None:
                parameter.grad.masked_fill_(~self._sound, 0)
        groups = len(self.optimizer.param_groups)
        return torch.cat([numbers[:-groups], numbers[-groups:] * self._sound])

    def _count(self, values: Losses) -> None:
        names = tuple(values)
        if names not in self._totals:
            self._totals[names] = torch.zeros(len(names), device=self.device)
        self._totals[names].add_(torch.stack([value.float() for value in values.values()]))

    def _weight(self, name: str) -> float:
        return float(getattr(self.options, f"{name}_weight"))

    @torch.no_grad()
    def _follow(self, part: Tensor) -> None:
        for average, weight in zip(self.average.parameters(), self.decoder.parameters(), strict=True):
            average.lerp_(weight, part)

    def _teach(self, critic: Critic, styles: Tensor, results: Tensor, mix: Tensor) -> Tensor:
        loss = critic_loss(critic, styles, results, mix)
        self.critic_adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for group in self.critic_adam.param_groups:
            group["lr"] = self.optimizer.param_groups[0]["lr"]
        self.critic_adam.step()
        return loss.detach()

    def _autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.half)


def chosen_precision(name: str, device: torch.device) -> bool:
    """Whether to compute in bfloat16: where asked to, and by itself where the device does so natively."""
    if name != "auto":
        return name == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    native = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, bool)() for check in native)
