"""The parts of the loop that no user sees."""

import copy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator
from tqdm import tqdm

from app.evaluation.device import chosen_device
from app.evaluation.encoders import load_encoder
from app.evaluation.errors import EvaluationError
from app.network.weights import read_weights
from app.training import checkpoint
from app.training.data.index import Index
from app.training.data.splits import split
from app.training.errors import TrainingError
from app.training.loop import run as loop
from app.training.loop.run import Run
from app.training.options import CROPS, TrainingOptions, crop_shares, decays, decoder_layout
from app.training.schedule import Phase
from app.training.step.hooks import silent_channels
from app.training.step.initial import continued, new_decoder, revive, standardize
from app.training.step.trainer import Losses, chosen_precision
from tests.engine.test_ncnn import decoder_file
from tests.training.conftest import fill, header


def _run(out: Path, contents: Path, styles: Path, **given: object) -> Run:
    torch.set_num_threads(1)
    values = {"widths": "16,16/16/8/8", "workers": 1, "val_share": 0, "crops": "32", "batch": 4, "pool": 8} | given
    options = TrainingOptions.read(values)
    index = Index(out / "cache")
    parts = [split(folder, index, 0, 0) for folder in (contents, styles)]
    return Run(options, *parts, load_encoder("vgg16", None), new_decoder(options), torch.device("cpu"), out)


def _watched(run: Run) -> list[Losses]:
    """Run to the end; what each step returned."""
    found: list[Losses] = []
    step = run.trainer.step

    def watched(*arguments: object) -> Losses:
        found.append(step(*arguments))  # type: ignore[arg-type]
        return found[-1]

    run.trainer.step = watched  # type: ignore[method-assign, assignment]
    run.run(lambda: False, show_bar=False)
    return found


def test_a_few_steps_learn(tmp_path: Path) -> None:
    """One photo and one painting, so that batches differ little and the trend is the training's."""
    folders = [fill(tmp_path / name, 1, seed, side=32) for seed, name in enumerate(("photo", "painting"))]
    run = _run(tmp_path, *folders, steps=40, learning_rate=3e-3, warmup=2, inversion_share=0, optimizer="adam")
    totals = [float(values["total"]) for values in _watched(run)]
    assert len(totals) == 40
    assert sum(totals[-8:]) < 0.8 * sum(totals[:8])


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_features_of_a_picture_in_its_own_style_count_where_asked(
    tmp_path: Path, contents: Path, styles: Path, weight: float
) -> None:
    run = _run(
        tmp_path, contents, styles, steps=2, inversion_share=0, identity_share=1, identity_features_weight=weight
    )
    for values in _watched(run):
        assert float(values["identity"]) > 0
        assert ("identity_features" in values) == bool(weight)


def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_the_batch(
    tmp_path: Path, contents: Path, styles: Path
) -> None:
    run = _run(tmp_path, contents, styles, steps=3)
    with torch.no_grad():
        run.trainer.decoder.convs[2].get_parameter("bias")[0] = float("nan")
    with pytest.raises(TrainingError, match=r"step 0: .* not finite .*nonfinite-0"):
        run.run(lambda: False, show_bar=False)
    tensors, facts = checkpoint.load(tmp_path / "nonfinite-0.safetensors")
    assert tensors["features"].shape == (4, 512, 4, 4)
    assert facts["losses"]["content"] != facts["losses"]["content"]


def test_clipping_bounds_what_one_step_may_do(tmp_path: Path, contents: Path, styles: Path) -> None:
    run = _run(tmp_path, contents, styles, steps=1, clip=1e-3)
    run.run(lambda: False, show_bar=False)
    norm = torch.stack([p.grad.norm() for p in run.trainer.decoder.parameters() if p.grad is not None]).norm()
    assert float(norm) <= 1e-3 * 1.01


def test_the_average_lags_behind_the_weights(tmp_path: Path, contents: Path, styles: Path) -> None:
    run = _run(tmp_path, contents, styles, steps=4)
    run.run(lambda: True, show_bar=False)
    assert run.step == 1
    first = [p.detach().clone() for p in run.trainer.average.parameters()]
    run.run(lambda: False, show_bar=False)
    for start, average, weight in zip(
        first, run.trainer.average.parameters(), run.trainer.decoder.parameters(), strict=True
    ):
        assert 0 < float((average - start).norm()) < float((weight.detach() - start).norm())


def test_channels_that_never_fire_are_counted() -> None:
    decoder = new_decoder(TrainingOptions(widths="24,24/16/8/8"))
    features = torch.randn(2, 512, 4, 4, generator=Generator().manual_seed(0))
    standardize(decoder, features)
    with torch.no_grad():
        decoder.convs[1].get_parameter("bias")[:5] = -1e6
        with silent_channels(decoder) as silent:
            decoder(features)
            decoder(-features)
    assert [int(quiet.sum()) for quiet in silent.values()] == [0, 5, 0, 0, 0]
    assert [len(quiet) for quiet in silent.values()] == [24, 24, 16, 8, 8]


def test_silent_channels_begin_anew_and_change_no_picture() -> None:
    decoder = new_decoder(TrainingOptions(widths="24,24/16/8/8"))
    features = torch.randn(2, 512, 4, 4, generator=Generator().manual_seed(0))
    standardize(decoder, features)
    with torch.no_grad():
        for layer, count in ((0, 3), (1, 5), (4, 2)):
            decoder.convs[layer].get_parameter("bias")[:count] = -1e6
        average = copy.deepcopy(decoder)
        average.convs[-1].get_parameter("bias").add_(0.25)
        before = decoder(features)
        assert revive(decoder, average, features, 0) == 10
        torch.testing.assert_close(decoder(features), before)
        torch.testing.assert_close(average(features), before + 0.25)
        for network in (decoder, average):
            with silent_channels(network) as silent:
                network(features)
            assert not any(bool(quiet.any()) for quiet in silent.values())
        again = [p.clone() for p in decoder.parameters()]
        assert revive(decoder, average, features, 1) == 0
    assert all(torch.equal(a, b) for a, b in zip(again, decoder.parameters(), strict=True))


@pytest.mark.parametrize(
    ("where", "kept", "places"),
    [("auto", (1,), (1,)), ("none", (1,), ()), ("doublings", (), (1, 2, 3)), ("all", (1,), range(5))],
)
def test_a_decoder_goes_on_with_partial_adain_where_it_is_asked_for(
    tmp_path: Path, where: str, kept: tuple[int, ...], places: Sequence[int]
) -> None:
    path = decoder_file(tmp_path / "d.safetensors", [(512, 8), (8, 8), (8, 8), (8, 8), (8, 8), (8, 3)], "1,2,3", kept)
    weights = read_weights(path)
    options = TrainingOptions.read({"partial_adain": where, "decoder": path})
    decoder = continued(options, weights)
    assert decoder.adain_after == tuple(places)
    for index in places:
        matrix = decoder.adain[str(index)].get_parameter("weight").detach().numpy()
        np.testing.assert_array_equal(matrix, weights.adain.get(index, np.zeros((16, 16), np.float32)))
    for ours, stored in zip(decoder.convs, weights.convolutions, strict=True):
        np.testing.assert_array_equal(ours.get_parameter("weight").detach().numpy(), stored.weight)


def test_a_new_decoder_moves_statistics_before_each_doubling_and_learns_how(
    tmp_path: Path, contents: Path, styles: Path
) -> None:
    run = _run(tmp_path, contents, styles, steps=3, inversion_share=0)
    assert run.trainer.decoder.adain_after == (1, 2, 3)
    assert run.trainer.decoder.upsample_after == {1, 2, 3}
    run.run(lambda: False, show_bar=False)
    assert all(float(adain.get_parameter("weight").abs().max()) > 0 for adain in run.trainer.average.adain.values())


def test_random_weights_are_standardized_layer_by_layer() -> None:
    decoder = new_decoder(TrainingOptions(widths="24,24/16/8/8"))
    features = 50 + 20 * torch.randn(4, 512, 6, 6, generator=Generator().manual_seed(0)).relu()
    standardize(decoder, features)
    outputs: list[torch.Tensor] = []
    for conv in list(decoder.convs)[:-1]:
        conv.register_forward_hook(lambda _, __, output: outputs.append(output))
    with torch.no_grad():
        decoder(features)
    assert len(outputs) == 5
    for output in outputs:
        assert output.mean((0, 2, 3)).abs().max() < 1e-3
        torch.testing.assert_close(output.std((0, 2, 3)), torch.ones(output.shape[1]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("widths", ["", "16/16", "16//8/8", "16/8/8/8/8", "16/8/x/8", "16/8/-8/8"])
def test_widths_of_another_notation_are_refused(widths: str) -> None:
    with pytest.raises(ValueError, match="four stages"):
        decoder_layout(widths)


def test_widths_and_crops_are_read_as_meant() -> None:
    assert decoder_layout("256,256/128/64/") == ((256, 256, 128, 64, 3), (1, 2, 3))
    assert crop_shares("128:0.55,192,256:0.2") == [(128, 0.55), (192, 1), (256, 0.2)]
    assert crop_shares(CROPS)[-1][0] == 256  # large strokes are learned last
    assert crop_shares("64") == [(64, 1.0)]


@pytest.mark.parametrize("crops", ["", "8", "100", "64:0", "64:nan", "64:x", "64,,"])
def test_crops_of_another_notation_are_refused(crops: str) -> None:
    with pytest.raises(ValueError, match="multiples of 8"):
        crop_shares(crops)


@pytest.mark.parametrize(("optimizer", "usual"), [("soap", "0.95,0.98"), ("adam", "0.9,0.99")])
def test_betas_reach_the_optimizer_and_are_by_default_what_help_says(
    tmp_path: Path, contents: Path, styles: Path, optimizer: str, usual: str
) -> None:
    def totals(betas: str | None) -> list[float]:
        run = _run(
            tmp_path / str(betas), contents, styles, steps=4, optimizer=optimizer, betas=betas, inversion_share=0
        )
        return [float(values["total"]) for values in _watched(run)]

    untold = totals(None)
    assert untold == totals(usual)
    assert untold[3] != totals("0.5,0.9")[3]


@pytest.mark.parametrize("betas", ["", "0.9", "0.9,1", "-0.1,0.9", "0.9,0.99,0.9", "0.9;0.99", "nan,0.9"])
def test_betas_of_another_notation_are_refused(betas: str) -> None:
    with pytest.raises(ValueError, match="two decays"):
        decays(betas)


def test_a_device_that_is_not_there_is_told() -> None:
    assert chosen_device("cpu").type == "cpu"
    with pytest.raises(EvaluationError, match="cuda:99 is not there"):
        chosen_device("cuda:99")
    assert chosen_precision("bfloat16", torch.device("cpu"))
    assert not chosen_precision("float32", torch.device("cpu"))


class _Clock:
    """In place of the system's, going on only as it is told to."""

    def __init__(self) -> None:
        self.now = 500.0

    def monotonic(self) -> float:
        return self.now

    perf_counter = monotonic

    def taking(self, seconds: float, function: Callable[..., Any]) -> Callable[..., Any]:
        def longer(*arguments: Any) -> Any:
            self.now += seconds
            return function(*arguments)

        return longer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()
    monkeypatch.setattr("app.training.loop.run.time", clock)
    return clock


def _timed(run: Run, clock: _Clock) -> list[tuple[int, float]]:
    """Let steps take 0.5 seconds, validations 4 and saving 1; the size and the rate of each step, as they come."""
    seen: list[tuple[int, float]] = []
    step, numbers = run.trainer.step, run.trainer.numbers

    def watched(phase: Phase, *others: Any) -> Losses:
        seen[-1] = (phase.size, seen[-1][1])
        return step(phase, *others)

    def noted(number: int, rate: float) -> torch.Tensor:
        seen.append((0, rate))
        return numbers(number, rate)

    run.trainer.step = clock.taking(0.5, watched)  # type: ignore[method-assign]
    run.trainer.numbers = noted  # type: ignore[method-assign]
    run.validation.run = clock.taking(4, run.validation.run)  # type: ignore[method-assign]
    run._decoder_file = clock.taking(1, run._decoder_file)  # type: ignore[method-assign]
    return seen


def test_a_run_of_a_minute_ends_within_it_and_its_schedule_with_it(
    tmp_path: Path, contents: Path, styles: Path, clock: _Clock
) -> None:
    given = {"minutes": 1, "crops": "16:0.5,32:0.5", "learning_rate": 1e-3, "inversion_share": 0, "validate_every": 40}
    run = _run(tmp_path, contents, styles, **given)
    seen = _timed(run, clock)
    run.run(lambda: False, show_bar=False)
    assert run.finished
    assert 57 < clock.now - 500 <= 60
    assert [size for size, _ in seen] == sorted(size for size, _ in seen)
    assert len(seen) == run.step
    assert [size for size, _ in seen].count(16) == pytest.approx(run.step / 2, abs=5)
    rates = [rate for _, rate in seen]
    assert rates[0] < 1e-4 < 9e-4 < max(rates)
    assert rates[-1] < 5e-5
    assert header(run.decoder_path)["steps"] == str(run.step)


def test_a_run_of_minutes_that_was_stopped_has_what_it_left(
    tmp_path: Path, contents: Path, styles: Path, clock: _Clock
) -> None:
    given = {"minutes": 1, "crops": "16", "inversion_share": 0}
    first = _run(tmp_path, contents, styles, **given)
    _timed(first, clock)
    first.run(lambda: clock.now > 530, show_bar=False)
    assert not first.finished
    used = clock.now - 500
    clock.now += 1000
    began = clock.now
    second = _run(tmp_path, contents, styles, **given)
    _timed(second, clock)
    second.resume(*checkpoint.load(tmp_path / "checkpoint.safetensors"))
    second.run(lambda: False, show_bar=False)
    assert second.finished
    assert second.step > first.step
    assert 55 < used + clock.now - began <= 61


def test_too_few_minutes_for_a_step_are_told(tmp_path: Path, contents: Path, styles: Path, clock: _Clock) -> None:
    run = _run(tmp_path, contents, styles, minutes=0.1, crops="16")
    _timed(run, clock)
    with pytest.raises(TrainingError, match="--minutes"):
        run.run(lambda: False, show_bar=False)
    assert run.step == 0


@pytest.mark.parametrize(("gain", "stored"), [(None, None), (12, "12"), (0, None)])
def test_the_decoders_file_tells_what_adain_is_held_to(
    tmp_path: Path, contents: Path, styles: Path, gain: float | None, stored: str | None
) -> None:
    run = _run(tmp_path, contents, styles, steps=1, crops="16", adain_gain=gain)
    run.run(lambda: False, show_bar=False)
    assert header(run.decoder_path).get("adain_gain") == stored
    weights = read_weights(run.decoder_path)
    assert continued(TrainingOptions(), weights).adain_gain == (gain or None)
    assert continued(TrainingOptions(adain_gain=5), weights).adain_gain == 5
    assert continued(TrainingOptions(adain_gain=0, partial_adain="all"), weights).adain_gain is None


def test_flat_colours_and_the_colours_of_styles_are_learned_where_asked(tmp_path: Path) -> None:
    folders = [fill(tmp_path / name, 1, seed, side=32) for seed, name in enumerate(("photo", "painting"))]
    given = {"steps": 60, "learning_rate": 3e-3, "warmup": 2, "inversion_share": 0, "batch": 2}
    run = _run(tmp_path / "run", *folders, **given, widths="64,64/32/16/16", plain_weight=1000, colour_weight=300)
    found = _watched(run)
    for name in ("plain", "colour"):
        values = [float(losses[name]) for losses in found]
        assert sum(values[-8:]) < 0.8 * sum(values[:8])
    assert not {"plain", "colour"} & _watched(_run(tmp_path / "bare", *folders, steps=1, inversion_share=0))[0].keys()


def test_styles_drawn_by_program_are_as_many_as_asked_for(
    tmp_path: Path, contents: Path, styles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "COUNT", 10)
    run = _run(tmp_path, contents, styles, steps=1, drawn=0.5, batch=1, pool=1)
    run._course = run._begun()
    program, *_ = next(run._programs(tqdm(disable=True)))
    assert [len(slots) for slots in program.shelf.filled] == [8, 6, 10]
    chosen = torch.cat([program._crops(number)["slots"][-1:] for number in range(400)])
    assert 0.4 < float((chosen >= 14).float().mean()) < 0.6
