"""A decoder's weights before its first step."""

import torch
from torch import Tensor, nn

from app.network.decoder import Decoder
from app.network.layout import FEATURES
from app.training.hooks import hidden_outputs
from app.training.options import TrainingOptions, decoder_layout

# Of a channel no batch excites, so that nothing is divided by nothing.
LEAST_DEVIATION = 1e-6


def new_decoder(options: TrainingOptions) -> Decoder:
    """A decoder of the options' widths with random orthogonal weights (Saxe et al. 2014), mid grey to begin with."""
    outputs, upsample_after = decoder_layout(options.widths)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(options.seed)
        decoder = Decoder(list(zip((FEATURES, *outputs), outputs, strict=False)), upsample_after)
        for conv in decoder.convs:
            nn.init.orthogonal_(conv.get_parameter("weight"))
            nn.init.zeros_(conv.get_parameter("bias"))
        last = decoder.convs[-1]
        last.get_parameter("weight").data.mul_(0.1)
        nn.init.constant_(last.get_parameter("bias"), 0.5)
    return decoder


@torch.no_grad()
def standardize(decoder: Decoder, features: Tensor) -> None:
    """Scale each hidden channel so that it has mean 0 and deviation 1 before its ReLU (Mishkin & Matas 2016).

    `features`: (N, 512, h, w) at relu4_1. Without it most of what the random layers see is one large constant, since no
    activation is negative; many channels then never fire, and those that do learn slowly.
    """
    with hidden_outputs(decoder, _standardized):
        decoder(features)


def _standardized(conv: nn.Module, output: Tensor) -> Tensor:
    weight, bias = conv.get_parameter("weight"), conv.get_parameter("bias")
    mean = output.mean((0, 2, 3))
    deviation = output.std((0, 2, 3)).clamp_min(LEAST_DEVIATION)
    weight.div_(deviation.view(-1, 1, 1, 1))
    bias.sub_(mean).div_(deviation)
    return (output - mean.view(-1, 1, 1)) / deviation.view(-1, 1, 1)
