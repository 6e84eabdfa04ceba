"""Padding by reflection in any layout, against torch's own."""

import pytest
import torch
from torch import Generator
from torch.nn import functional as F  # noqa: N812

from app.network.convolution import ReflectConv, reflect_pad


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(2, 3, 5, 4), (1, 4, 2, 2), (1, 2, 2, 7), (2, 3, 3, 3)])
def test_padding_and_its_gradient_are_torchs_and_the_layout_stays(
    shape: tuple[int, ...], layout: torch.memory_format
) -> None:
    random = Generator().manual_seed(0)
    x = torch.randn(shape, generator=random, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    ours, theirs = reflect_pad(x), F.pad(x, (1, 1, 1, 1), mode="reflect")
    assert torch.equal(ours, theirs)
    assert ours.is_contiguous(memory_format=layout)
    weights = torch.randn(ours.shape, generator=random, dtype=torch.float64)
    torch.testing.assert_close(*(torch.autograd.grad(y, x, weights)[0] for y in (ours, theirs)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_convolves_as_a_cpu_does() -> None:
    conv = ReflectConv(8, 8)
    x = torch.randn(2, 8, 9, 7, generator=Generator().manual_seed(0))
    expected = conv(x)
    got = conv.cuda()(x.cuda().contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(got.cpu(), expected, rtol=1e-3, atol=1e-3)
