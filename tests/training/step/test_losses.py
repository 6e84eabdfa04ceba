"""Losses and metrics against float64 arithmetic spelt out in numpy, or an independent library."""

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Generator

from app.evaluation import metrics
from app.network import moments
from app.network.adain import channel_statistics
from app.network.moments import channel_moments
from app.training.step import losses
from app.training.step.critic import Critic, critic_loss
from tests.pictures import photo


def _random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=Generator().manual_seed(seed))


def _tensor(name: str) -> torch.Tensor:
    return torch.from_numpy(photo(name, 96).copy()).permute(2, 0, 1)[None].float() / 255


def test_style_loss_is_the_sum_over_taps_of_errors_of_means_and_deviations() -> None:
    got = [_random(2, 4, 6, 6), _random(2, 8, 3, 3, seed=1)]
    wanted = [_random(2, 4, 5, 7, seed=2), _random(2, 8, 4, 4, seed=3)]
    by_hand = 0.0
    for a, b in zip(got, wanted, strict=True):
        x, y = a.double().numpy(), b.double().numpy()
        deviations = [np.sqrt(z.var(axis=(2, 3)) + 1e-5) for z in (x, y)]
        by_hand += ((x.mean(axis=(2, 3)) - y.mean(axis=(2, 3))) ** 2).mean()
        by_hand += ((deviations[0] - deviations[1]) ** 2).mean()
    measured = metrics.style_loss(metrics.statistics(got), metrics.statistics(wanted), (4, 8))
    assert float(measured) == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("way", [moments._on_cpu, moments._on_gpu])
@pytest.mark.parametrize(
    ("dtype", "shape"), [(torch.float32, (2, 5, 6, 7)), (torch.bfloat16, (3, 16, 9, 8)), (torch.float32, (1, 3, 1, 1))]
)
def test_moments_and_their_gradients_are_those_of_plain_operations(
    monkeypatch: pytest.MonkeyPatch, way: object, dtype: torch.dtype, shape: tuple[int, int, int, int]
) -> None:
    monkeypatch.setattr(moments, "_on_cpu", way)
    features = (_random(*shape) * 3).to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    plain = features.detach().double().requires_grad_()
    weights = _random(shape[0], 2, shape[1], seed=1).double() - 0.5
    expected = torch.stack(channel_statistics(plain), 1).flatten(2)
    (weights * expected).sum().backward()
    got = channel_moments(features)
    (weights.float() * got).sum().backward()
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), expected, rtol=1e-4, atol=1e-5)
    assert plain.grad is not None
    assert features.grad is not None
    tolerance = 1e-5 if dtype == torch.float32 else 0.01 * float(plain.grad.abs().max())
    torch.testing.assert_close(features.grad.double(), plain.grad, rtol=0, atol=tolerance)


def test_total_variation_and_range_are_what_they_say() -> None:
    x = _random(2, 3, 8, 8) * 3 - 1
    a = x.double().numpy()
    variation = np.abs(np.diff(a, axis=2)).mean() + np.abs(np.diff(a, axis=3)).mean()
    outside = (np.minimum(a, 0) ** 2 + np.maximum(a - 1, 0) ** 2).mean()
    assert float(losses.total_variation(x)) == pytest.approx(variation, rel=1e-5)
    assert float(losses.out_of_range(x)) == pytest.approx(outside, rel=1e-5)


def test_grid_is_what_repeats_every_eight_pixels_and_nothing_of_a_slope() -> None:
    cell = np.random.default_rng(0).normal(0, 0.05, (3, 8, 8))
    tiled = torch.from_numpy(np.tile(cell, (1, 8, 9))).float()[None]
    of_cell = ((cell - cell.mean((1, 2), keepdims=True)) ** 2).mean()
    slope = torch.linspace(0, 1, 72).expand(1, 3, 64, 72)
    assert float(metrics.grid(tiled)) == pytest.approx(of_cell, rel=1e-4)
    assert float(metrics.grid(slope)) == pytest.approx(0, abs=1e-9)
    assert float(metrics.grid(slope + tiled)) == pytest.approx(of_cell, rel=1e-3)
    assert float(losses.grid(torch.cat([tiled, slope]))) == pytest.approx(of_cell / 2, rel=1e-3)
    noise = torch.from_numpy(np.random.default_rng(1).normal(0, 0.05, (1, 3, 64, 72))).float()
    assert 0 < float(metrics.grid(noise)) < of_cell / 10


def test_identity_is_nothing_for_the_picture_itself_and_grows_with_distance() -> None:
    x = _random(1, 3, 8, 8)
    taps = [_random(1, 4, 4, 4), _random(1, 8, 2, 2)]
    assert float(losses.pixel_identity(x, x)) == 0
    assert float(losses.feature_identity(taps, taps)) == 0
    assert float(losses.pixel_identity(x, x + 0.5)) == pytest.approx(0.25 + 0.25 + 0.5 / 10)
    assert float(losses.feature_identity(taps, [taps[0] + 1, taps[1] + 3])) == pytest.approx(5)


def test_psnr_and_ssim_are_those_of_scikit_image() -> None:
    a, b = _tensor("astronaut"), _tensor("coffee")
    x, y = (t[0].permute(1, 2, 0).double().numpy() for t in (a, b))
    assert float(metrics.psnr(a, b)) == pytest.approx(peak_signal_noise_ratio(x, y, data_range=1), rel=1e-5)
    assert float(metrics.psnr(a, a)) == pytest.approx(100)
    grey_x, grey_y = x.mean(axis=2), y.mean(axis=2)
    expected, full = structural_similarity(
        grey_x, grey_y, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    assert full.shape == grey_x.shape
    greys = [torch.from_numpy(g)[None, None] for g in (grey_x, grey_y)]
    assert float(metrics.ssim(*greys)) == pytest.approx(expected, rel=1e-6)


def test_edge_ssim_tells_a_blurred_photo_from_a_recoloured_one() -> None:
    photo_ = _tensor("chelsea")
    blurred = torch.nn.functional.avg_pool2d(photo_, 7, 1, 3, count_include_pad=False)
    shifted = (photo_ * 0.9 + 0.05).clamp(0, 1)
    assert float(metrics.edge_ssim(photo_, photo_)) == pytest.approx(1)
    assert float(metrics.edge_ssim(shifted, photo_)) > 0.9 > 0.6 > float(metrics.edge_ssim(blurred, photo_))


def test_a_critic_trained_by_its_loss_tells_styles_from_results() -> None:
    torch.manual_seed(0)
    critic = Critic(width=8)
    adam = torch.optim.Adam(critic.parameters(), 1e-3, betas=(0.0, 0.9))
    mix = _random(4, seed=2)
    styles, results = _random(4, 3, 32, 32) * 0.5 + 0.5, _random(4, 3, 32, 32, seed=1) * 0.5
    for _ in range(60):
        adam.zero_grad()
        critic_loss(critic, styles, results, mix).backward()
        adam.step()
    with torch.no_grad():
        assert float(critic(styles).mean()) > float(critic(results).mean()) + 0.1


def test_the_gradient_penalty_pulls_a_steep_critic_flatter() -> None:
    torch.manual_seed(0)
    critic = Critic(width=8)
    with torch.no_grad():
        for parameter in critic.parameters():
            parameter.mul_(4)
    same = _random(4, 3, 32, 32)
    adam = torch.optim.Adam(critic.parameters(), 1e-2, betas=(0.0, 0.9))

    # Of two equal pictures the scores cancel: what is left is the penalty.
    first = float(critic_loss(critic, same, same, _random(4, seed=1)).detach())
    for _ in range(40):
        adam.zero_grad()
        critic_loss(critic, same, same, _random(4, seed=1)).backward()
        adam.step()
    assert float(critic_loss(critic, same, same, _random(4, seed=1)).detach()) < first / 2
