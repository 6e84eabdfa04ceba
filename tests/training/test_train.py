"""`impasto train` as a process: what it leaves behind, and what it says when it cannot go on."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from app.commands.train import train
from app.engine.base import Job
from app.engine.create import create_engine
from app.network.blend import shares
from app.network.weights import DECODER, read_weights
from app.training.step.launch import Launcher
from app.training.step.program import Choice
from tests.pictures import photo
from tests.training.conftest import SMALL, Command, environment, fill, header

STEPS = (
    *("--steps", "7", "--crops", "32:1,48:1", "--batch", "4"),
    *("--save-every", "3", "--log-every", "2", "--revive-every", "2", "--identity-features-weight", "1"),
)


def _same(a: Path, b: Path) -> bool:
    x, y = load_file(a), load_file(b)
    return x.keys() == y.keys() and all(torch.equal(x[name], y[name]) for name in x)


def _curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(run / "log"))
    log.Reload()
    return {tag: [(e.step, e.value) for e in log.Scalars(tag)] for tag in log.Tags()["scalars"]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, contents: Path, styles: Path) -> Path:
    """A run of seven steps over two crop sizes that was never stopped."""
    out = tmp_path_factory.mktemp("whole") / "run"
    command = [sys.executable, "-m", "app", "train", "--content", contents, "--style", styles, "--out", out]
    done = subprocess.run(
        [*map(str, command), *STEPS, *SMALL, "--workers", "1"],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    assert "8 train, 0 validation, 0 test" in done.stderr
    assert done.stdout.strip() == str(out / "decoder.safetensors")
    return out


def test_the_service_loads_the_decoder_whatever_its_widths(whole: Path) -> None:
    decoder = whole / "decoder.safetensors"
    assert read_weights(decoder).widths == ((512, 16), (16, 16), (16, 16), (16, 8), (8, 8), (8, 3))
    picture = photo("chelsea", 48)
    results = []
    for name in ("ncnn", "torch"):
        engine = create_engine(name, "cpu", threads=1, decoder=decoder)  # type: ignore[arg-type]
        (result,) = engine.stylize([Job(picture, (engine.encode_style(photo("coffee", 64)),), shares([1.0]))])
        results.append(result.astype(int))
    assert results[0].shape == picture.shape
    assert abs(results[0] - results[1]).max() <= 1


def test_the_decoder_tells_the_encoder_it_belongs_to(whole: Path) -> None:
    facts = header(whole / "decoder.safetensors")
    assert facts["encoder"] == "vgg16"
    assert facts["encoder_sha256"] == read_weights(DECODER.parent / "vgg16-relu4_1.safetensors").sha256
    assert facts["steps"] == "7"


def test_every_loss_has_its_curve(whole: Path) -> None:
    curves = _curves(whole)
    names = ("content", "style", "identity", "identity_features", "total_variation", "grid", "range")
    assert {f"loss/{name}" for name in (*names, "total", "gradient")} <= curves.keys()
    assert [step for step, _ in curves["loss/total"]] == [2, 4, 6, 7]
    assert {"speed/images_per_second", "speed/busy", "speed/learning_rate"} <= curves.keys()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_goes_on_to_the_numbers_of_one_that_was_not(
    whole: Path, tmp_path: Path, contents: Path, styles: Path, impasto: Command, number: signal.Signals
) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "app", "train", "--content", contents, "--style", styles, "--out", out]
    process = subprocess.Popen(
        [*map(str, command), *STEPS, *SMALL, "--workers", "1"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    deadline = time.monotonic() + 100
    while not (out / "checkpoint.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(process.pid, number)  # as a terminal and a supervisor do, workers and all
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "--resume" in said
    assert "Traceback" not in said
    done = impasto("train", "--resume", "--out", out)
    assert done.returncode == 0, done.stderr
    assert _same(out / "checkpoint.safetensors", whole / "checkpoint.safetensors")
    assert _same(out / "decoder.safetensors", whole / "decoder.safetensors")


def test_a_full_disk_is_said_and_leaves_what_was_saved(
    whole: Path, tmp_path: Path, contents: Path, styles: Path, impasto: Command
) -> None:
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    before = (out / "checkpoint.safetensors").read_bytes()
    limit = len(before) // 2
    command = [sys.executable, "-m", "app", "train", "--resume", "--out", out, "--steps", "9"]
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "cannot be written" in done.stderr
    assert "--resume" in done.stderr
    assert (out / "checkpoint.safetensors").read_bytes() == before
    assert not list(out.glob(".impasto-*"))
    assert impasto("train", "--resume", "--out", out, "--steps", "9").returncode == 0


def test_a_broken_file_is_listed_and_skipped_and_held_out_pictures_are_judged(tmp_path: Path, impasto: Command) -> None:
    folders = [fill(tmp_path / name, 12, seed) for seed, name in enumerate(("photos", "paintings"))]
    (folders[0] / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing more")
    done = impasto(
        *("train", "--content", folders[0], "--style", folders[1], "--out", tmp_path / "run"),
        *(*SMALL, "--val-share", "0.3", "--test-share", "0", "--steps", "2", "--crops", "32", "--batch", "2"),
        *("--validate-every", "1", "--adversarial", "wgan-gp"),
    )
    assert done.returncode == 0, done.stderr
    assert "broken.jpg" in done.stderr
    assert "validation" in done.stderr
    curves = _curves(tmp_path / "run")
    assert [step for step, _ in curves["val/style"]] == [1, 2]
    assert all(value > 0 for _, value in curves["val/edge_ssim"])
    assert {"loss/adversarial", "loss/critic"} <= curves.keys()
    assert read_weights(tmp_path / "run" / "decoder-best.safetensors").widths[-1] == (8, 3)


def test_what_cannot_be_is_said_in_one_line(whole: Path, tmp_path: Path, styles: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    out = tmp_path / "run"
    said = {
        ("--content", empty, "--style", styles, "--out", out): "no pictures in this folder",
        ("--content", styles, "--style", styles, "--out", whole): "already holds a run",
        ("--resume", "--out", out): "is no checkpoint",
        ("--resume", "--out", whole, "--widths", "16/8/8/8"): "--widths: was",
        ("--resume", "--out", whole, "--partial-adain", "none"): "--partial-adain: was auto",
        ("--content", styles, "--style", styles, "--out", out, "--widths", "16/8"): "four stages",
        ("--content", styles, "--style", styles, "--out", out, "--crops", "100"): "multiples of 8",
        ("--content", styles, "--style", styles, "--out", out, "--steps", "many"): "--steps",
        ("--content", styles, "--style", styles, "--out", out, "--encoder", "vgg19"): "weights import",
        ("--content", styles, "--style", styles, "--out", out, "--device", "cuda:7"): "cuda:7 is not there",
    }
    for arguments, answer in said.items():
        done = CliRunner().invoke(train, [str(argument) for argument in arguments])
        assert done.exit_code != 0, arguments
        assert done.exception is None or isinstance(done.exception, SystemExit), arguments
        assert answer in done.stderr, (arguments, done.stderr)
        assert len(done.stderr.strip().splitlines()) <= 2, done.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB. GPU 0"), "smaller --batch"),
        (RuntimeError("CUDA error: an illegal memory access was encountered\nCUDA kernel"), "illegal memory access"),
    ],
)
def test_a_device_that_fails_in_the_midst_of_it_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, contents: Path, styles: Path, error: RuntimeError, said: str
) -> None:
    out, taken = tmp_path / "run", []

    def take(self: Launcher, choice: Choice) -> None:
        if len(taken) == 2:
            raise error
        taken.append(choice)

    arguments = ("--content", contents, "--style", styles, "--out", out, *STEPS, "--save-every", "1", *SMALL)
    monkeypatch.setattr(Launcher, "take", take)
    done = CliRunner().invoke(train, [str(argument) for argument in arguments])
    assert done.exit_code == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert said in line
    assert f"go on with: impasto train --resume --out {out}" in line
    assert (out / "checkpoint.safetensors").exists()


def test_help_teaches(impasto: Command) -> None:
    text = impasto("train", "--help").stdout
    for word in (
        "Data:",
        "Network:",
        "Schedule:",
        "Losses:",
        "Running:",
        "cocodataset.org",
        "WikiArt",
        "[default: 10.0]",
    ):
        assert word in text


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "CUDA_VISIBLE_DEVICES", "")
