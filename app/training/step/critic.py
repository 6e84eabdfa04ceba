"""An optional adversary: a critic that tells results from styles, trained as WGAN-GP (Gulrajani et al. 2017)."""

from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn

PENALTY: Final = 10.0


class Critic(nn.Sequential):
    """RGB (N, 3, H, W) -> a map of scores, higher for what looks like a style.

    No batch normalisation: the penalty is of each picture's own gradient.
    """

    def __init__(self, width: int = 32) -> None:
        widths = (3, width, 2 * width, 4 * width)
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            layers += [nn.Conv2d(n_in, n_out, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        super().__init__(*layers, nn.Conv2d(widths[-1], 1, 3, padding=1))


def critic_loss(critic: Critic, styles: Tensor, results: Tensor, mix: Tensor) -> Tensor:
    """What the critic minimises: its score of results less that of styles, and the gradient penalty between them.

    `mix` (N,) in [0, 1): where between a style and a result the gradient is looked at.
    """
    between = torch.lerp(styles, results, mix[:, None, None, None]).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).mean((1, 2, 3)).sum(), between, create_graph=True)
    penalty = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    loss: Tensor = critic(results).mean() - critic(styles).mean() + PENALTY * penalty
    return loss
