"""Encoder and decoder on the embedded weights and real photos."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from app.network.decoder import Decoder
from app.network.encoder import VGGEncoder
from app.network.weights import DECODER, ENCODER, Convolution, WeightsError, WeightsFile, read_weights
from tests.pictures import photo


def image(height: int, width: int) -> Tensor:
    return torch.from_numpy(photo("astronaut")[:height, :width] / 255).permute(2, 0, 1)[None].float()


@pytest.fixture(scope="module")
def encoder() -> VGGEncoder:
    return VGGEncoder.from_weights(read_weights(ENCODER)).eval()


def made_up(widths: list[tuple[int, int]], upsample_after: str = "") -> WeightsFile:
    random = np.random.default_rng(0)
    convolutions = tuple(
        Convolution(random.normal(0, 0.05, (n_out, n_in, 3, 3)).astype(np.float32), np.zeros(n_out, np.float32))
        for n_in, n_out in widths
    )
    metadata = {"upsample_after": upsample_after} if upsample_after else {}
    return WeightsFile(Path("made-up.safetensors"), "", convolutions, metadata)


@torch.no_grad()
@pytest.mark.parametrize(("height", "width"), [(64, 64), (40, 88), (9, 17), (65, 31)])
def test_taps_have_vggs_channels_and_sizes(encoder: VGGEncoder, height: int, width: int) -> None:
    taps = encoder.taps(image(height, width))
    for scale, (channels, tap) in enumerate(zip((64, 128, 256, 512), taps, strict=True)):
        assert tap.shape == (1, channels, -(-height // 2**scale), -(-width // 2**scale))
        assert tap.min() >= 0


@torch.no_grad()
def test_taps_are_the_activations_after_the_first_convolution_of_each_stage(encoder: VGGEncoder) -> None:
    x = image(32, 48)
    expected, index = [], 0
    for stage in ("cc", "cc", "ccc", "c"):
        if index:
            x = nn.functional.max_pool2d(x, 2)
        for depth in range(len(stage)):
            conv = encoder.convs[index]
            assert isinstance(conv, nn.Conv2d)
            x = nn.functional.conv2d(nn.functional.pad(x, (1, 1, 1, 1), "reflect"), conv.weight, conv.bias).relu()
            index += 1
            if depth == 0:
                expected.append(x)
    for tap, wanted in zip(encoder.taps(image(32, 48)), expected, strict=True):
        torch.testing.assert_close(tap, wanted, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_encoder_sees_edges_where_the_photo_has_them(encoder: VGGEncoder) -> None:
    flat = encoder(torch.full((1, 3, 64, 64), 0.5))
    inner = flat[..., 2:-2, 2:-2]
    torch.testing.assert_close(flat, inner.mean((2, 3), keepdim=True).expand_as(flat), rtol=1e-3, atol=1e-3)
    assert encoder(image(64, 64)).std() > flat.std()


@torch.no_grad()
def test_the_decoder_leads_back_to_a_picture_of_eight_times_the_size(encoder: VGGEncoder) -> None:
    decoder = Decoder.from_weights(read_weights(DECODER)).eval()
    content = image(256, 256)
    result = decoder(encoder(content))
    assert result.shape == content.shape
    blurred = nn.functional.avg_pool2d(content, 8).flatten()
    again = nn.functional.avg_pool2d(result.clamp(0, 1), 8).flatten()
    assert torch.corrcoef(torch.stack([blurred, again]))[0, 1] > 0.8


def test_vgg19_is_known_by_its_shapes() -> None:
    widths = [(3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256), (256, 256), (256, 512)]
    assert len(VGGEncoder.from_weights(made_up(widths)).convs) == 9


def test_an_encoder_of_other_layers_is_refused() -> None:
    with pytest.raises(WeightsError, match="neither VGG-16 nor VGG-19"):
        VGGEncoder.from_weights(made_up([(3, 64), (64, 512)]))


@torch.no_grad()
def test_a_decoder_has_the_widths_its_file_says() -> None:
    decoder = Decoder.from_weights(made_up([(512, 16), (16, 8), (8, 8), (8, 3)], "0,1,2"))
    assert decoder(torch.ones(2, 512, 3, 5)).shape == (2, 3, 24, 40)


@pytest.mark.parametrize(
    ("widths", "upsample_after", "message"),
    [
        ([(256, 8), (8, 8), (8, 8), (8, 3)], "0,1,2", "expected 512 to 3"),
        ([(512, 8), (8, 8), (8, 8), (8, 4)], "0,1,2", "expected 512 to 3"),
        ([(512, 8), (8, 8), (8, 3)], "0,1", "expected three different ones"),
        ([(512, 8), (8, 8), (8, 3)], "0,1,2", "expected three different ones"),
        ([(512, 8), (8, 8), (8, 8), (8, 3)], "", "expected indices"),
        ([(512, 8), (8, 8), (8, 8), (8, 3)], "a,b,c", "expected indices"),
    ],
)
def test_a_decoder_that_leads_elsewhere_is_refused(
    widths: list[tuple[int, int]], upsample_after: str, message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        Decoder.from_weights(made_up(widths, upsample_after))
