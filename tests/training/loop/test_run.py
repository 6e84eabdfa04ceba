"""The parts of the loop that no user sees."""

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Generator

from app.evaluation.device import chosen_device
from app.evaluation.encoders import load_encoder
from app.evaluation.errors import EvaluationError
from app.network.weights import read_weights
from app.training import checkpoint
from app.training.data.index import Index
from app.training.data.splits import split
from app.training.errors import TrainingError
from app.training.loop.run import Run
from app.training.options import CROPS, TrainingOptions, crop_shares, decays, decoder_layout
from app.training.schedule import Steps, ema_decay, learning_rate, phases, revives
from app.training.step.hooks import silent_channels
from app.training.step.initial import continued, new_decoder, revive, standardize
from app.training.step.trainer import Losses, chosen_precision
from tests.engine.test_ncnn import decoder_file
from tests.training.conftest import fill


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
    run = _run(tmp_path, *folders, steps=40, learning_rate=3e-3, warmup=2, inversion_share=0)
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


def test_phases_share_the_steps_and_shrink_the_batch_by_area() -> None:
    options = TrainingOptions(steps=1000, crops="128:0.5,256:0.5", batch=8, refresh=0.25, inversion_share=0)
    found = [(p.size, p.batch, p.fresh, p.start, p.stop) for p in phases(options)]
    assert found == [(128, 8, 2, 0, 0.5), (256, 4, 1, 0.5, 1)], "two would be the area's share, four are the least"
    course = Steps(1000)
    assert [[course.over(step, p) for step in (0, 499, 500, 999, 1000)] for p in phases(options)] == [
        [False, False, True, True, True],
        [False, False, False, False, True],
    ]
    assert [course.first_step(phase) for phase in phases(options)] == [0, 500]
    few = phases(options.but(batch=3))
    assert [p.batch for p in few] == [3, 3]
    many = phases(options.but(batch=40))
    assert [p.batch for p in many] == [40, 10]
    assert Steps(7).over(7, phases(TrainingOptions(steps=7))[-1])


def test_the_rate_warms_up_and_falls_to_3_percent() -> None:
    options = TrainingOptions(steps=1000, warmup=100, learning_rate=1.0)
    rates = [learning_rate(options, step, step / 1000) for step in range(1000)]
    assert rates[0] < 0.02
    assert max(rates) == max(rates[95:105]) > 0.95
    assert rates[-1] == pytest.approx(0.03, abs=1e-4)
    assert ema_decay(options, 0) < 0.2
    assert ema_decay(options, 10_000) == options.ema


def test_inversion_comes_first_and_only_to_random_weights() -> None:
    options = TrainingOptions(steps=1000, crops="128:0.5,256:0.5", inversion_share=0.2)
    found = [(p.size, p.inverts, p.start, round(p.stop, 9)) for p in phases(options)]
    assert found == [(128, True, 0, 0.2), (128, False, 0.2, 0.6), (256, False, pytest.approx(0.6), 1)]
    warm = options.but(decoder=Path("decoder.safetensors"))
    assert [(p.inverts, p.start, p.stop) for p in phases(warm)] == [(False, 0, 0.5), (False, 0.5, 1)]


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


def test_revivals_come_at_intervals_and_not_near_the_end() -> None:
    options = TrainingOptions(steps=100, revive_every=15)
    assert [step for step in range(1, 101) if revives(options, step, step / 100)] == [15, 30, 45, 60, 75]
    assert not any(revives(TrainingOptions(steps=100, revive_every=0), step, 0) for step in range(1, 101))


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
