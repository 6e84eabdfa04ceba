"""A decoder that holds AdaIN to a gain is held to it by every engine, in one piece and in tiles."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from app.engine.base import Engine, Job
from app.engine.create import create_engine
from app.engine.tiles import Limits
from app.network.adain import adain, channel_statistics
from app.network.blend import shares
from app.network.decoder import Decoder
from app.network.encoder import VGGEncoder
from app.network.weights import DECODER, ENCODER, WeightsError, read_weights
from tests.engine.engines import differences, gradient_masks, job
from tests.pictures import photo

NARROW = Limits(tile_width=96, slab_rows=16)


def _held(path: Path, gain: str | None) -> Path:
    """The embedded decoder, its metadata saying what AdaIN is held to, or that it is not."""
    with safe_open(DECODER, "np") as file:
        metadata = file.metadata()
    del metadata["adain_gain"]
    save_file(load_file(DECODER), path, metadata | ({} if gain is None else {"adain_gain": gain}))
    return path


def _engine(library: str, decoder: Path, limits: Limits | None = None) -> Engine:
    return create_engine(library, "cpu", threads=1, decoder=decoder, limits=limits)  # type: ignore[arg-type]


def _sky() -> np.ndarray:
    """Smooth: its channels hardly deviate, so that AdaIN enlarges what there is a hundred times."""
    down = np.linspace(0, 1, 136)[:, None, None]
    return np.rint((1 - down) * [90, 140, 220] + down * [200, 220, 240]).repeat(120, 1).astype(np.uint8)


@pytest.mark.parametrize("masked", [False, True])
def test_engines_and_tiles_agree_and_differ_from_what_is_not_held(tmp_path: Path, masked: bool) -> None:
    decoder = _held(tmp_path / "decoder.safetensors", "3")
    work = job(_sky(), ("coffee", "rocket"), (1, 1), 0.9, gradient_masks(_sky()) if masked else None)
    (whole,) = _engine("torch", decoder).stylize([work])
    for library in ("ncnn", "torch"):
        (tiled,) = _engine(library, decoder, NARROW).stylize([work])
        assert differences(tiled, whole).max() <= 2
    (free,) = _engine("torch", _held(tmp_path / "free.safetensors", None)).stylize([work])
    assert differences(whole, free).mean() > 3


def test_a_held_result_is_the_formulas(tmp_path: Path) -> None:
    decoder = _held(tmp_path / "decoder.safetensors", "3")
    content, style = _sky(), photo("coffee", 64)
    network, encoder = Decoder.from_weights(read_weights(decoder)), VGGEncoder.from_weights(read_weights(ENCODER))
    assert network.adain_gain == 3
    with torch.inference_mode():
        x, y = (encoder(torch.from_numpy(p.copy()).permute(2, 0, 1)[None] / 255) for p in (content, style))
        (mean, std), (style_mean, style_std) = channel_statistics(x), channel_statistics(y)
        assert float((style_std / std).median()) > 10, "the gradient would be enlarged"
        target = (x - mean) * torch.minimum(style_std / std, torch.tensor(3.0)) + style_mean
        torch.testing.assert_close(adain(x, style_mean, style_std, 3.0), target)
        picture = network(target, network.statistics(y)[:, None])[0].clamp(0, 1)
    expected = (picture.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    held = _engine("torch", decoder)
    (result,) = held.stylize([Job(content, (held.encode_style(style),), shares([1.0]))])
    assert differences(result, expected).max() <= 1


@pytest.mark.parametrize("library", ["ncnn", "torch"])
def test_a_gain_that_nothing_reaches_changes_no_bit(tmp_path: Path, library: str) -> None:
    decoder, unheld = _held(tmp_path / "decoder.safetensors", "1e30"), _held(tmp_path / "free.safetensors", None)
    work = job(photo("chelsea", 96), ("coffee", "rocket"), (2, 1))
    for limits in (None, NARROW):
        held, free = _engine(library, decoder, limits), _engine(library, unheld, limits)
        assert (held.stylize([work])[0] == free.stylize([work])[0]).all()


@pytest.mark.parametrize("gain", ["", "0", "-1", "nan", "inf", "much"])
def test_what_is_no_gain_is_refused(tmp_path: Path, gain: str) -> None:
    decoder = _held(tmp_path / "decoder.safetensors", gain)
    for library in ("ncnn", "torch"):
        with pytest.raises(WeightsError, match="adain_gain"):
            _engine(library, decoder)
