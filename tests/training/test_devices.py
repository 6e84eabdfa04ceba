"""A training on a GPU, as a user starts it."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.conftest import SMALL, Command

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

STEPS = ("--steps", "16", "--crops", "32:1,48:1", "--batch", "4", "--precision", "float32", "--device", "cuda")


@pytest.mark.parametrize("adversarial", ["none", "wgan-gp"])
def test_recorded_steps_are_those_taken_one_by_one(
    tmp_path: Path, contents: Path, styles: Path, impasto: Command, adversarial: str
) -> None:
    decoders = []
    for launch in ("plain", "recorded"):
        out = tmp_path / launch
        folders = ("--content", contents, "--style", styles, "--out", out)
        done = impasto("train", *folders, *STEPS, *SMALL, "--launch", launch, "--adversarial", adversarial)
        assert done.returncode == 0, done.stderr
        assert "cannot be recorded" not in done.stderr
        assert "of the GPU" in done.stderr
        decoders.append(load_file(out / "decoder.safetensors"))
    for name, tensor in decoders[0].items():
        assert torch.isfinite(tensor).all()
        torch.testing.assert_close(decoders[1][name], tensor, rtol=0.02, atol=0.005)


def test_a_run_that_was_stopped_goes_on(tmp_path: Path, contents: Path, styles: Path, impasto: Command) -> None:
    out = tmp_path / "run"
    folders = ("--content", contents, "--style", styles, "--out", out)
    assert impasto("train", *folders, *STEPS, *SMALL, "--save-every", "4").returncode == 0
    done = impasto("train", "--resume", "--out", out, "--steps", "20")
    assert done.returncode == 0, done.stderr


def test_a_run_of_so_many_minutes_ends_in_time(tmp_path: Path, contents: Path, styles: Path, impasto: Command) -> None:
    folders = ("--content", contents, "--style", styles, "--out", tmp_path / "run")
    done = impasto("train", *folders, "--minutes", "0.5", "--device", "cuda", "--batch", "4", "--crops", "32", *SMALL)
    assert done.returncode == 0, done.stderr
