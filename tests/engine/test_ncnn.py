"""ncnn gives what torch gives."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from app.engine.base import Job, Picture
from app.engine.ncnn import NcnnEngine
from app.engine.torch import TorchEngine
from app.network.weights import DECODER, ENCODER, WeightsError
from tests.engine.engines import differences, engine, gradient_masks, job
from tests.pictures import photo


def assert_agree(ncnn: Picture, torch: Picture) -> None:
    steps = differences(ncnn, torch)
    assert steps.max() <= 2
    assert (steps <= 1).mean() >= 0.999


def assert_engines_agree(work: Job) -> None:
    [ncnn], [torch] = engine("ncnn").stylize([work]), engine("torch").stylize([work])
    assert ncnn.shape == work.content.shape
    assert_agree(ncnn, torch)


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coffee", "rocket"])
def test_a_repainted_photo_agrees_with_torch(name: str) -> None:
    work = job(photo(name, 384))
    [result] = engine("ncnn").stylize([work])
    assert differences(result, work.content).mean() > 10, "the photo was not repainted"
    assert_agree(result, engine("torch").stylize([work])[0])


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
def test_style_codes_agree_with_torch(name: str) -> None:
    ncnn, torch = (engine(library).encode_style(photo(name)) for library in ("ncnn", "torch"))
    for ours, reference in zip((ncnn.relu4_1, *ncnn.decoded), (torch.relu4_1, *torch.decoded), strict=True):
        for part in ("mean", "std"):
            assert getattr(ours, part).dtype == np.float32
            assert np.abs(getattr(ours, part) - getattr(reference, part)).max() < 1e-4 * getattr(reference, part).max()


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (1, 300), (300, 1), (7, 9), (16, 16), (17, 15), (23, 250), (129, 131), (255, 64)]
)
def test_any_size_agrees_with_torch(height: int, width: int) -> None:
    assert_engines_agree(job(photo("astronaut")[40 : 40 + height, 100 : 100 + width]))


def test_a_blend_at_half_strength_agrees_with_torch() -> None:
    assert_engines_agree(job(photo("chelsea", 200), ("coffee", "rocket"), (0.3, 0.7), strength=0.5))


def test_masks_agree_with_torch() -> None:
    content = photo("chelsea")[:203, :310]
    assert_engines_agree(job(content, ("coffee", "rocket"), (1, 2), strength=0.9, masks=gradient_masks(content)))


def test_strength_changes_the_picture() -> None:
    faint, full = engine("ncnn").stylize([job(photo("chelsea", 128), strength=s) for s in (0.1, 1.0)])
    assert differences(faint, full).mean() > 5


def test_a_picture_does_not_depend_on_its_neighbours() -> None:
    jobs = [job(photo(name, 136), (style,)) for name, style in (("astronaut", "coffee"), ("chelsea", "rocket"))]
    for library in ("ncnn", "torch"):
        together = engine(library).stylize(jobs)
        for alone, result in zip(jobs, together, strict=True):
            assert differences(engine(library).stylize([alone])[0], result).max() <= 1


def test_results_outlive_later_work_and_the_engine() -> None:
    mortal = NcnnEngine()
    work = job(photo("chelsea", 128))
    [result] = mortal.stylize([work])
    code = mortal.encode_style(photo("chelsea", 128))
    mean, pixels = code.relu4_1.mean.copy(), result.copy()
    mortal.stylize([job(photo("rocket", 128))])
    mortal.encode_style(photo("rocket", 200))
    del mortal
    assert (result == pixels).all()
    assert (code.relu4_1.mean == mean).all()


def test_one_thread_and_all_cores_agree() -> None:
    work = job(photo("rocket", 160))
    assert_agree(NcnnEngine(threads=1).stylize([work])[0], engine("ncnn").stylize([work])[0])


def decoder_file(
    path: Path, widths: list[tuple[int, int]], upsample_after: str, adain_after: Sequence[int] = ()
) -> Path:
    """A decoder of random weights that keeps the features' scale, so that its picture is not all black or white."""
    random = np.random.default_rng(7)
    tensors: dict[str, NDArray[np.float32]] = {}
    for index, (n_in, n_out) in enumerate(widths):
        spread = (2 / (9 * n_in)) ** 0.5
        tensors[f"convs.{index}.weight"] = random.normal(0, spread, (n_out, n_in, 3, 3)).astype(np.float32)
        tensors[f"convs.{index}.bias"] = np.zeros(n_out, np.float32)
    tensors[f"convs.{len(widths) - 1}.weight"] *= 0.1
    tensors[f"convs.{len(widths) - 1}.bias"] += 0.5
    for index in adain_after:
        size = 2 * widths[index][1]
        tensors[f"adain.{index}.weight"] = (0.4 * np.eye(size) + random.normal(0, 0.02, (size, size))).astype(
            np.float32
        )
    save_file(tensors, path, {"upsample_after": upsample_after})
    return path


def test_a_decoder_of_another_layout_agrees_with_torch(tmp_path: Path) -> None:
    path = decoder_file(tmp_path / "decoder.safetensors", [(512, 24), (24, 24), (24, 16), (16, 16), (16, 3)], "0,1,3")
    work = job(photo("chelsea", 120))
    [result] = NcnnEngine(decoder=path).stylize([work])
    assert result.std() > 5
    assert_agree(result, TorchEngine(decoder=path).stylize([work])[0])


def test_files_that_are_not_these_networks_are_refused(tmp_path: Path) -> None:
    grey = decoder_file(tmp_path / "grey.safetensors", [(512, 8), (8, 8), (8, 8), (8, 1)], "0,1,2")
    with pytest.raises(WeightsError, match=r"grey.safetensors: leads from 512 to 1 channels; expected 512 to 3"):
        NcnnEngine(decoder=grey)
    good = decoder_file(tmp_path / "good.safetensors", [(512, 8), (8, 8), (8, 8), (8, 3)], "0,1,2")
    with pytest.raises(WeightsError, match="neither VGG-16 nor VGG-19"):
        NcnnEngine(encoder=DECODER, decoder=good)


def test_weights_in_half_precision_are_taken(tmp_path: Path) -> None:
    halves = {name: tensor.astype(np.float16) for name, tensor in load_file(ENCODER).items()}
    save_file(halves, tmp_path / "encoder.safetensors")
    save_file(load_file(DECODER), tmp_path / "decoder.safetensors", {"upsample_after": "1,3,5"})
    half = NcnnEngine(encoder=tmp_path / "encoder.safetensors", decoder=tmp_path / "decoder.safetensors")
    code = half.encode_style(photo("coffee", 128))
    reference = engine("ncnn").encode_style(photo("coffee", 128))
    assert np.abs(code.relu4_1.mean - reference.relu4_1.mean).max() < 0.05
