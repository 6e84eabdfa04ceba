"""The torch engine's ways with precision and with too little memory, on the CPU: a GPU takes the same ones."""

import numpy as np
import pytest
import torch
from torch import Tensor

from app.engine import create
from app.engine.base import Picture
from app.engine.create import engine_devices
from app.engine.torch import TorchEngine
from app.network.encoder import VGGEncoder
from tests.engine.engines import engine, job
from tests.pictures import photo

JOBS = [
    job(photo("astronaut", 96)),
    job(photo("chelsea", 96), strength=0.5),
    job(photo("rocket", 96), strength=0.2),
]


def expected() -> list[Picture]:
    return list(engine("torch").stylize(JOBS))


def test_half_precision_is_close_to_full() -> None:
    half = TorchEngine(dtype=torch.bfloat16)
    for result, wanted in zip(half.stylize(JOBS), expected(), strict=True):
        assert np.abs(result.astype(int) - wanted).mean() < 4
    code, wanted_code = half.encode_style(photo("coffee", 96)), engine("torch").encode_style(photo("coffee", 96))
    assert code.relu4_1.mean.dtype == np.float32
    np.testing.assert_allclose(code.relu4_1.mean, wanted_code.relu4_1.mean, rtol=0.1, atol=0.05)


@pytest.mark.parametrize("room", [2 * 96 * 96, 96 * 96, 64 * 64])
def test_too_little_memory_makes_batches_smaller_and_then_tiles(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    monkeypatch.setattr("app.engine.torch.TILE_IN_NEED", 88)
    scarce = TorchEngine()
    encode, seen = VGGEncoder.forward, []

    def forward(self: VGGEncoder, images: Tensor) -> Tensor:
        pixels = images.numel() // 3
        seen.append(pixels)
        if (images.shape[0] > 1 and pixels > room) or room < 96 * 96 <= pixels:
            raise torch.OutOfMemoryError("as a GPU would")
        return encode(self, images)

    monkeypatch.setattr(VGGEncoder, "forward", forward)
    results = scarce.stylize(JOBS)
    assert max(seen) == 3 * 96 * 96
    assert min(seen) <= 96 * 96
    monkeypatch.undo()
    for result, wanted in zip(results, expected(), strict=True):
        assert np.abs(result.astype(int) - wanted).max() <= 1


def test_every_gpu_gets_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(create, "_has_nvidia_driver", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert engine_devices() == engine_devices("torch", "cuda") == ["cuda:0", "cuda:1"]
    assert engine_devices("auto", "cuda:1") == ["cuda:1"]
    assert engine_devices("ncnn", "auto") == ["auto"]
    assert engine_devices("auto", "cpu") == ["cpu"]


def test_without_a_gpu_the_one_device_is_what_was_asked_for() -> None:
    assert engine_devices("torch", "cpu") == ["cpu"]
    if not torch.cuda.is_available():
        assert engine_devices() == ["auto"]
