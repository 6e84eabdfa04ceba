"""The optimizer against what it is said to do: to it, coordinates of the channels do not matter."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim import Adam

from app.training import checkpoint
from app.training.step.soap import Soap

STEPS = 120


def _random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=Generator().manual_seed(seed))


def _rotation(size: int, seed: int) -> Tensor:
    return torch.linalg.qr(_random(size, size, seed=seed))[0]


class Problem:
    """A convolution to be found from inputs whose channels are strongly correlated, as those of a network are."""

    def __init__(self) -> None:
        mixing = _rotation(12, 1) * torch.logspace(0, -2, 12) @ _rotation(12, 2)
        self.inputs = torch.einsum("nihw,ij->njhw", _random(16, 12, 8, 8, seed=3), mixing)
        self.start = nn.Conv2d(12, 6, 3, bias=False)
        nn.init.zeros_(self.start.weight)
        self.wanted = F.conv2d(self.inputs, _random(6, 12, 3, 3, seed=4))

    def losses(self, kind: type[Soap | Adam], rate: float) -> list[float]:
        conv = copy.deepcopy(self.start)
        optimizer = kind(conv.parameters(), lr=rate)
        found = []
        for number in range(STEPS):
            optimizer.param_groups[0]["lr"] = rate * (1 - number / STEPS)
            found.append(self.step(conv, optimizer, number))
        return found

    def step(self, conv: nn.Conv2d, optimizer: Soap | Adam, number: int) -> float:
        """One step on a quarter of the inputs, each in turn."""
        part = slice(number % 4, None, 4)
        optimizer.zero_grad()
        loss = F.mse_loss(conv(self.inputs[part]), self.wanted[part])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return float(loss.detach())


def test_correlated_channels_hold_it_up_less_than_adam() -> None:
    problem = Problem()
    best = {kind: min(problem.losses(kind, rate)[-1] for rate in (0.1, 0.3, 1.0)) for kind in (Soap, Adam)}
    assert best[Soap] < 0.5 * best[Adam]


def test_turning_the_channels_does_not_change_its_path() -> None:
    plain, turned = Problem(), Problem()
    turned.inputs = torch.einsum("nihw,ij->njhw", plain.inputs, _rotation(12, 5))
    for kind, same in ((Soap, True), (Adam, False)):
        paths = [torch.tensor(problem.losses(kind, 0.03)[:20]) for problem in (plain, turned)]
        assert torch.allclose(*paths, rtol=0.02) == same


@pytest.mark.parametrize("product", [torch.float32, torch.bfloat16])
def test_it_goes_on_from_stored_state_as_if_never_stopped(product: torch.dtype, tmp_path: Path) -> None:
    problem = Problem()
    conv = copy.deepcopy(problem.start)
    optimizer = Soap(conv.parameters(), lr=0.03, product=product)
    for number in range(7):
        problem.step(conv, optimizer, number)
    other = copy.deepcopy(conv)
    resumed = Soap(other.parameters(), lr=0.03, product=product)
    checkpoint.save(tmp_path / "state", checkpoint.optimizer_tensors("soap", optimizer), {})
    checkpoint.load_optimizer("soap", resumed, checkpoint.load(tmp_path / "state")[0])
    for number in range(7, 50):
        assert problem.step(conv, optimizer, number) == problem.step(other, resumed, number)
