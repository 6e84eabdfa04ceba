"""The networks in training and one step of them."""

import copy
from contextlib import AbstractContextManager
from typing import Final

import torch
from torch import Generator, Tensor, nn

from app.evaluation import metrics
from app.evaluation.device import resident
from app.evaluation.encoders import TapEncoder
from app.network.adain import adain
from app.network.decoder import Decoder
from app.network.layout import FEATURES
from app.training import checkpoint
from app.training.data.pool import Batch, Encoded, Pairs, encode
from app.training.errors import TrainingError
from app.training.options import BETAS, TrainingOptions, decays
from app.training.schedule import Phase, ema_decay, learning_rate
from app.training.step import losses
from app.training.step.critic import Critic, critic_loss
from app.training.step.initial import revive, standardize
from app.training.step.soap import Soap

# Beyond this the encoder is not asked what it sees: only the range loss acts there.
SEEN: Final = (-0.2, 1.2)
# Of the learning rate: each row of partial AdaIN adds up hundreds of differences of one sign and of the size of 1.
ADAIN_RATE: Final = 0.1


class NonFinite(Exception):
    """A loss or a gradient is infinite or not a number; `losses` as they were, the weights as before the step."""

    def __init__(self, losses: dict[str, float]) -> None:
        super().__init__(", ".join(f"{name} {value:g}" for name, value in losses.items()))
        self.losses = losses


class Trainer:
    """Decoder, its moving average `average`, optimizer, and the critic where there is one, on one device."""

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

    @torch.no_grad()
    def encode(self, contents: Tensor, styles: Tensor) -> Encoded:
        """Encode fresh crops, uint8 (n, 3, S, S) each."""
        with self._autocast():
            return encode(self.encoder, contents.to(self.device), styles.to(self.device))

    def step(
        self, step: int, phase: Phase, newest: Encoded, batch: Batch | Pairs, generator: Generator
    ) -> dict[str, Tensor]:
        """Take one step; returns losses, unweighted, and the gradient's norm before clipping, as scalars.

        Raises NonFinite, and then has changed nothing.
        """
        rate = learning_rate(self.options, step)
        if isinstance(batch, Pairs):
            with self._autocast():
                results = self.decoder(batch.features).float()
            values = {"identity": losses.pixel_identity(results, batch.wanted)}
        else:
            results, values = self._stylised(newest, batch, phase)
        total = torch.stack([self._weight(name) * value for name, value in values.items()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        values = {name: value.detach() for name, value in values.items()}
        values["total"] = total.detach()
        norm = nn.utils.clip_grad_norm_(self.decoder.parameters(), self.options.clip or float("inf"))
        if not bool(torch.isfinite(total.detach() + norm)):
            raise NonFinite({name: float(value) for name, value in values.items()} | {"gradient": float(norm)})
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["times"]
        self.optimizer.step()
        self._follow(ema_decay(self.options, step))
        if self.critic is not None and isinstance(batch, Batch):
            shown = min(len(newest.styles), len(results))
            values["critic"] = self._teach(
                self.critic, newest.styles[:shown], results[-shown:].detach().clamp(0, 1), generator, rate
            )
        return values | {"gradient": norm}

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
            return self.decoder.statistics(features)

    def target(self, batch: Batch) -> Tensor:
        """AdaIN of a batch: (N, 512, h, w)."""
        mean, std = batch.wanted[:, :, -FEATURES:, None, None].unbind(1)
        return adain(batch.features, mean, std).contiguous(memory_format=torch.channels_last)

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

    def _optimizer(self) -> torch.optim.Optimizer:
        parameters = [{"params": list(self.decoder.convs.parameters()), "times": 1.0}]
        if self.decoder.adain:
            parameters.append({"params": list(self.decoder.adain.parameters()), "times": ADAIN_RATE})
        betas = decays(self.options.betas or BETAS[self.options.optimizer])
        if self.options.optimizer == "adam":
            return torch.optim.Adam(parameters, lr=0.0, betas=betas)
        return Soap(parameters, lr=0.0, betas=betas, product=torch.bfloat16 if self.half else torch.float32)

    def _stylised(self, newest: Encoded, batch: Batch, phase: Phase) -> tuple[Tensor, dict[str, Tensor]]:
        target = self.target(batch)
        inner = sum(self.decoder.adain_channels)
        with self._autocast():
            results = self.decoder(target, batch.wanted[:, None, :, :inner])
            # A picture in its own style is compared by its pixels; the encoder need not look unless it is to be asked.
            unseen = 0 if self.options.identity_features_weight else batch.own
            taps = self.encoder.taps(results[unseen:].clamp(*SEEN))
        results = results.float()
        values = self._losses(results, taps, target, newest, batch, phase)
        if self.critic is not None:
            values["adversarial"] = -self.critic(results.clamp(*SEEN)).mean()
        return results, values

    def _losses(
        self, results: Tensor, taps: list[Tensor], target: Tensor, newest: Encoded, batch: Batch, phase: Phase
    ) -> dict[str, Tensor]:
        seen = len(taps[-1])
        wanted = batch.wanted[-seen:, :, -sum(self.encoder.channels) :]
        values = {
            "content": metrics.content_loss(taps[-1], target[-seen:]),
            "style": metrics.style_loss(metrics.statistics(taps), wanted, self.encoder.channels),
            "total_variation": losses.total_variation(results),
            "grid": losses.grid(results),
            "range": losses.out_of_range(results),
        }
        own = batch.own
        if own:
            # Weighed by how many there are, so that a batch with one more of them counts for more.
            part = own / (phase.batch * self.options.identity_share)
            values["identity"] = part * losses.pixel_identity(results[:own], newest.contents[:own])
            if self.options.identity_features_weight:
                values["identity_features"] = part * losses.feature_identity(
                    [tap[:own] for tap in taps], [tap[:own] for tap in newest.taps]
                )
        return values

    def _weight(self, name: str) -> float:
        return float(getattr(self.options, f"{name}_weight"))

    @torch.no_grad()
    def _follow(self, decay: float) -> None:
        for average, weight in zip(self.average.parameters(), self.decoder.parameters(), strict=True):
            average.lerp_(weight, 1 - decay)

    def _teach(self, critic: Critic, styles: Tensor, results: Tensor, generator: Generator, rate: float) -> Tensor:
        loss = critic_loss(critic, styles, results, generator)
        self.critic_adam.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for group in self.critic_adam.param_groups:
            group["lr"] = rate
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
