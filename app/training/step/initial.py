"""A decoder's weights before its first step, and those of channels that begin anew."""

from collections.abc import Collection, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from app.network.decoder import Decoder
from app.network.layout import FEATURES
from app.network.weights import WeightsFile
from app.training.options import TrainingOptions, decoder_layout
from app.training.step.hooks import hidden_outputs, silent_channels

# Of a channel no batch excites, so that nothing is divided by nothing.
LEAST_DEVIATION = 1e-6


def new_decoder(options: TrainingOptions) -> Decoder:
    """A decoder of the options' widths with random orthogonal weights (Saxe et al. 2014), mid grey to begin with."""
    outputs, upsample_after = decoder_layout(options.widths)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        widths = list(zip((FEATURES, *outputs), outputs, strict=False))
        places = adain_after(options.partial_adain, widths, upsample_after)
        decoder = Decoder(widths, upsample_after, places, options.adain_gain or None)
        for conv in decoder.convs:
            nn.init.orthogonal_(conv.get_parameter("weight"))
            nn.init.zeros_(conv.get_parameter("bias"))
        last = decoder.convs[-1]
        last.get_parameter("weight").data.mul_(0.1)
        nn.init.constant_(last.get_parameter("bias"), 0.5)
    return decoder


def continued(options: TrainingOptions, weights: WeightsFile) -> Decoder:
    """The decoder of a file, with partial AdaIN where the options ask for it; where it is new nothing is moved yet.

    Raises WeightsError when the file is no decoder.
    """
    decoder = Decoder.from_weights(weights)
    if options.adain_gain is not None:
        decoder.adain_gain = options.adain_gain or None
    if options.partial_adain == "auto":
        return decoder
    places = adain_after(options.partial_adain, weights.widths, decoder.upsample_after)
    placed = Decoder(weights.widths, decoder.upsample_after, places, decoder.adain_gain)
    kept = {name: tensor for name, tensor in decoder.state_dict().items() if name in placed.state_dict()}
    placed.load_state_dict(placed.state_dict() | kept)
    return placed


def adain_after(where: str, widths: Sequence[tuple[int, int]], upsample_after: Collection[int]) -> Collection[int]:
    """The convolutions partial AdaIN follows, as the option says; "auto" is that of a new decoder."""
    places: dict[str, Collection[int]] = {"none": (), "all": range(len(widths) - 1)}
    return places.get(where, upsample_after)


@torch.no_grad()
def standardize(decoder: Decoder, features: Tensor) -> None:
    """Scale each hidden channel so that it has mean 0 and deviation 1 before its ReLU (Mishkin & Matas 2016).

    `features`: (N, 512, h, w) at relu4_1. Without it most of what the random layers see is one large constant, since no
    activation is negative; many channels then never fire, and those that do learn slowly.
    """
    with hidden_outputs(decoder, _standardized):
        decoder(features)


@torch.no_grad()
def revive(decoder: Decoder, average: Decoder, features: Tensor, seed: int) -> int:
    """Give the hidden channels that nothing in `features` excites new random weights; returns how many.

    Their way in is as of `standardize`, their way out 0, so that `features` give the pictures they gave. The same
    channels of `average` get the same. A channel that has fallen silent gets no gradient and stays lost without this.
    """
    with silent_channels(decoder) as silent:
        decoder(features)
    if not any(bool(quiet.any()) for quiet in silent.values()):
        return 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for conv, after in pairwise(decoder.convs):
            fresh = nn.init.orthogonal_(torch.empty_like(conv.get_parameter("weight"), device="cpu").contiguous())
            conv.get_parameter("weight")[silent[conv]] = fresh.to(features.device)[silent[conv]]
            after.get_parameter("weight")[:, silent[conv]] = 0
    with hidden_outputs(decoder, lambda conv, output: _standardized(conv, output, silent[conv])):
        decoder(features)
    for (conv, after), (its_conv, its_after) in zip(pairwise(decoder.convs), pairwise(average.convs), strict=True):
        for name in ("weight", "bias"):
            its_conv.get_parameter(name)[silent[conv]] = conv.get_parameter(name)[silent[conv]]
        its_after.get_parameter("weight")[:, silent[conv]] = after.get_parameter("weight")[:, silent[conv]]
    return sum(int(quiet.sum()) for quiet in silent.values())


def _standardized(conv: nn.Module, output: Tensor, which: Tensor | None = None) -> Tensor:
    """`which`: bool (channels,), those to scale; by default every one."""
    weight, bias = conv.get_parameter("weight"), conv.get_parameter("bias")
    mean = output.mean((0, 2, 3))
    deviation = output.std((0, 2, 3)).clamp_min(LEAST_DEVIATION)
    if which is not None:
        mean, deviation = mean.where(which, 0), deviation.where(which, 1)
    weight.div_(deviation.view(-1, 1, 1, 1))
    bias.sub_(mean).div_(deviation)
    return (output - mean.view(-1, 1, 1)) / deviation.view(-1, 1, 1)
