"""int8 is close to float32, and to the bit the same in tiles, in batches and from run to run."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from app.engine.base import Engine, Job, Picture, stylize_steps
from app.engine.create import create_engine
from app.engine.openvino import OpenVINOEngine
from app.engine.processor import native_precisions
from app.engine.tiles import Limits
from app.network.blend import shares
from app.network.quantisation import LEVELS, Grid, Range, grid, quantised, rest, wide
from app.network.ranges import RangesError, ranges_path, read_ranges
from app.network.weights import DECODER, ENCODER, Convolution, read_networks
from tests.engine.engines import differences, engine, gradient_masks, job
from tests.engine.test_ncnn import assert_agree
from tests.pictures import jpeg, photo

int8 = pytest.mark.skipif("int8" not in native_precisions(), reason="this processor has no instructions for int8")
bfloat16 = pytest.mark.skipif("bfloat16" not in native_precisions(), reason="this processor has none for bfloat16")

TILINGS = [
    Limits(tile_width=4096, slab_rows=4096, feature_memory=2**30),
    Limits(tile_width=136, slab_rows=16, feature_memory=2**30),
    Limits(tile_width=165, slab_rows=42, feature_memory=2**30),
]


def decibels(one: Picture, other: Picture) -> float:
    error = np.square(one.astype(float) - other).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


SEEN = slice(8, -20), slice(10, -30)


def works(content: Picture) -> list[Job]:
    """Plain, a blend at part of its strength, regions, and a cut-out."""
    alpha = np.zeros(content.shape[:2], np.uint8)
    alpha[SEEN] = 255
    return [
        job(content),
        job(content, ("coffee", "rocket"), (1, 2), 0.7),
        job(content, ("coffee", "rocket"), (1, 1), 0.9, gradient_masks(content)),
        replace(job(content), alpha=alpha),
    ]


def alone(made: Engine, jobs: list[Job]) -> list[Picture]:
    return [made.stylize([one])[0] for one in jobs]


@int8
@pytest.mark.parametrize("name", ["astronaut", "chelsea", "rocket"])
def test_int8_is_close_to_float32(name: str) -> None:
    # Of a cut-out, what is hidden may be far beyond the ranges, and shines through at the edge.
    jobs = works(photo(name, 160))[:-1]
    for result, wanted in zip(alone(engine("openvino"), jobs), alone(engine("ncnn"), jobs), strict=True):
        assert decibels(result, wanted) > 30


@int8
def test_a_photo_comes_back_at_strength_0_as_in_float32() -> None:
    content = photo("chelsea", 200)
    ours, theirs = (
        decibels(engine(name).stylize([job(content, strength=0)])[0], content) for name in ("openvino", "ncnn")
    )
    assert abs(ours - theirs) < 0.2


@int8
@pytest.mark.parametrize("size", [(1, 1), (17, 230), (203, 171)])
def test_tiles_give_the_whole_to_the_bit(size: tuple[int, int]) -> None:
    jobs = (
        works(photo("astronaut")[30 : 30 + size[0], 90 : 90 + size[1]])
        if min(size) > 50
        else [job(photo("astronaut")[30 : 30 + size[0], 90 : 90 + size[1]])]
    )
    whole, *tiled = ([*alone(engine("openvino", limits), jobs)] for limits in TILINGS)
    for results in tiled:
        for one, other in zip(results, whole, strict=True):
            assert differences(one, other).max() == 0
    on_disk = [alone(engine("openvino", replace(limits, feature_memory=0)), jobs) for limits in TILINGS]
    for results in on_disk[1:]:
        for one, other in zip(results, on_disk[0], strict=True):
            assert differences(one, other).max() == 0


@int8
def test_a_style_has_one_code_in_any_tiles() -> None:
    codes = [engine("openvino", limits).encode_style(photo("coffee")[:211, :269]) for limits in TILINGS]
    for code in codes[1:]:
        for one, other in zip((code.relu4_1, *code.decoded), (codes[0].relu4_1, *codes[0].decoded), strict=True):
            assert (one.mean == other.mean).all()
            assert (one.std == other.std).all()


@int8
def test_neighbours_threads_turns_and_runs_change_no_bit() -> None:
    jobs = [job(photo(name, 136)) for name in ("astronaut", "chelsea", "coffee")]
    made = OpenVINOEngine(2)
    wanted = alone(made, jobs)
    steps = {number: stylize_steps(made, [one]) for number, one in enumerate(jobs)}
    turns = {}
    while steps:
        for number, run in list(steps.items()):
            try:
                next(run)
            except StopIteration as end:
                (turns[number],) = end.value
                del steps[number]
    again = (made.stylize(jobs), alone(OpenVINOEngine(1), jobs), [turns[number] for number in range(3)])
    for results in again:
        for result, expected in zip(results, wanted, strict=True):
            assert (result == expected).all()


def test_float32_agrees_with_torch() -> None:
    jobs = works(photo("chelsea", 120))
    made = OpenVINOEngine(1, precision="float32")
    for result, wanted in zip(alone(made, jobs), alone(engine("torch"), jobs), strict=True):
        assert_agree(result, wanted)


@bfloat16
def test_bfloat16_is_close_to_float32() -> None:
    made = create_engine("auto", "cpu", precision="bfloat16")
    assert "bfloat16" in made.name
    jobs = works(photo("chelsea", 120))
    for result, wanted in zip(alone(made, jobs), alone(engine("ncnn"), jobs), strict=True):
        assert decibels(result[SEEN], wanted[SEEN]) > 35


def test_levels_cover_what_was_seen_and_a_convolution_of_them_is_that_of_the_values() -> None:
    random = np.random.default_rng(0)
    seen = Range(random.uniform(-3, 0, 6).astype(np.float32), random.uniform(0, 40, 6).astype(np.float32))
    levels = grid(seen)
    assert (levels.low <= seen.low + 1e-4).all()
    assert (levels.high >= seen.high - 1e-4).all()
    convolution = Convolution(random.normal(0, 1, (4, 6, 3, 3)).astype(np.float32), np.ones(4, np.float32))
    whole = quantised(convolution, levels)
    assert np.abs(whole.weight).max(axis=(1, 2, 3)).tolist() == [127] * 4
    values = random.uniform(seen.low, seen.high).astype(np.float32)
    bytes_ = np.rint((values - levels.low) / levels.step)
    got = whole.scale * np.einsum("oikl,i->o", whole.weight.astype(float), bytes_) + whole.bias
    wanted = np.einsum("oikl,i->o", convolution.weight, values) + convolution.bias
    assert np.abs(got - wanted).max() < 0.02 * np.abs(convolution.weight).sum((1, 2, 3)).max() * values.max() / 10


def test_rounded_kernels_add_up_as_before() -> None:
    random = np.random.default_rng(0)
    convolution = Convolution(random.normal(0, 1, (8, 6, 3, 3)).astype(np.float32), np.zeros(8, np.float32))
    levels = Grid(np.zeros(6, np.float32), random.uniform(0.1, 1, 6).astype(np.float32))
    whole = quantised(convolution, levels)
    wanted = convolution.weight * levels.step[:, None, None] / whole.scale[:, None, None, None]
    assert np.abs(whole.weight - wanted).max() < 1.01
    assert np.abs(whole.weight.sum((2, 3)) - wanted.sum((2, 3))).max() <= 0.51


def test_a_second_byte_tells_what_the_first_leaves() -> None:
    random = np.random.default_rng(0)
    seen = Range(random.uniform(-3, 0, 6).astype(np.float32), random.uniform(0, 40, 6).astype(np.float32))
    levels = wide(grid(seen))
    values = random.uniform(1.2 * seen.low, 1.2 * seen.high, (100, 6))
    first, finer = np.rint((values - levels.low) / levels.step), rest(levels)
    assert 0 <= first.min() <= first.max() <= LEVELS
    left = values - (levels.low + levels.step * first)
    second = np.rint((left - finer.low) / finer.step)
    assert -0.01 <= second.min() <= second.max() <= LEVELS + 0.01
    assert np.abs(left - (finer.low + finer.step * second)).max() < 0.51 * finer.step.max()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """The embedded decoder and its ranges as a user's own files."""
    decoder = tmp_path / "mine.safetensors"
    decoder.write_bytes(DECODER.read_bytes())
    ranges_path(decoder).write_bytes(ranges_path(DECODER).read_bytes())
    return decoder


def spoilt(decoder: Path, fault: str) -> None:
    path = ranges_path(decoder)
    tensors = load_file(path)
    encoder, other = (file.sha256 for file in read_networks(ENCODER, decoder))
    if fault == "missing":
        path.unlink()
    elif fault == "truncated":
        path.write_bytes(path.read_bytes()[:5000])
    elif fault == "another decoder":
        save_file(tensors, path, {"encoder_sha256": encoder, "decoder_sha256": encoder})
    else:
        name = "decoder.2.high"
        if fault == "not finite":
            tensors[name][3] = np.nan
        elif fault == "upside down":
            tensors[name][3] = tensors["decoder.2.low"][3] - 1
        else:
            del tensors[name]
        save_file(tensors, path, {"encoder_sha256": encoder, "decoder_sha256": other})


@pytest.mark.parametrize(
    "fault", ["missing", "truncated", "another decoder", "not finite", "upside down", "lacks a layer"]
)
def test_wrong_ranges_are_refused_in_one_line_that_says_what_to_run(
    own: Path, fault: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = read_networks(ENCODER, own)
    assert len(read_ranges(*networks).decoder) == len(networks[1].convolutions)
    spoilt(own, fault)
    with pytest.raises(RangesError, match=r"impasto weights quantize --decoder \S+mine.safetensors") as refused:
        OpenVINOEngine(decoder=own)
    assert "\n" not in str(refused.value)
    monkeypatch.setattr("app.engine.create.native_precisions", lambda: frozenset({"int8"}))
    with caplog.at_level(logging.INFO, "impasto.engine"):
        assert create_engine("auto", "cpu", 1, decoder=own).name == "ncnn on the CPU, 1 thread"
    (line,) = caplog.messages
    assert str(refused.value) in line


def test_quantize_readies_a_decoder_of_ones_own(own: Path, tmp_path: Path) -> None:
    spoilt(own, "missing")
    for folder, names in (("photos", ("astronaut", "chelsea")), ("paintings", ("coffee", "rocket"))):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / f"{name}.jpg").write_bytes(jpeg(photo(name, 64)))
    command = [sys.executable, "-m", "app", "weights", "quantize", "--decoder", str(own), "--size", "64"]
    command += ["--content", str(tmp_path / "photos"), "--style", str(tmp_path / "paintings")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == str(ranges_path(own))
    assert ("dB from float32" if "int8" in native_precisions() else "Not compared") in run.stderr
    if "int8" in native_precisions():
        made = create_engine("auto", "cpu", decoder=own)
        assert "in int8" in made.name
        work = Job(photo("astronaut", 64), (made.encode_style(photo("coffee", 64)),), shares([1.0]))
        assert made.stylize([work])[0].std() > 10
