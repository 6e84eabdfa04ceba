"""`impasto evaluate`: its numbers, and what it makes of folders."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio

from app.network.decoder import Decoder
from app.network.encoder import VGGEncoder
from app.network.weights import DECODER, ENCODER, read_weights
from tests.training.conftest import Command

SIDE = 64


def _array(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image, np.float64) / 255


def _taps(encoder: VGGEncoder, picture: np.ndarray) -> list[np.ndarray]:
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None]
    return [tap[0].flatten(1).numpy() for tap in encoder.taps(tensor)]


def _deviation(features: np.ndarray) -> np.ndarray:
    return np.asarray(np.sqrt(features.var(axis=1) + 1e-5))


@pytest.fixture(scope="module")
def by_hand(contents: Path, styles: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    """Every third content in every third style with the embedded decoder, judged in float64; results also as files."""
    folder = tmp_path_factory.mktemp("theirs")
    encoder = VGGEncoder.from_weights(read_weights(ENCODER)).double()
    decoder = Decoder.from_weights(read_weights(DECODER))
    photos, paintings = sorted(contents.iterdir())[::3], sorted(styles.iterdir())[::3]
    content_losses, style_losses, psnrs = [], [], []

    def grid(features: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(features.reshape(1, 512, SIDE // 8, SIDE // 8)).float()

    @torch.inference_mode()
    def paint(features: np.ndarray, name: str, style: np.ndarray | None = None) -> np.ndarray:
        decoded = None if style is None else decoder.statistics(grid(style))[:, None]
        shown = decoder(grid(features), decoded)[0].clamp(0, 1)
        pixels = (shown.permute(1, 2, 0).numpy() * 255).round()
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{name}.png")
        return np.asarray(pixels / 255, np.float64)

    with torch.inference_mode():
        for photo in photos:
            features = _taps(encoder, _array(photo))[-1]
            psnrs.append(peak_signal_noise_ratio(_array(photo), paint(features, photo.stem), data_range=1))
        for photo, painting in product(photos, paintings):
            features, wanted = _taps(encoder, _array(photo))[-1], _taps(encoder, _array(painting))
            centred, mean = features - features.mean(axis=1, keepdims=True), wanted[-1].mean(axis=1, keepdims=True)
            gain = _deviation(wanted[-1]) / _deviation(features)
            target = centred * gain[:, None] + mean
            held = centred * np.minimum(gain, decoder.adain_gain)[:, None] + mean
            got = _taps(encoder, paint(held, f"{photo.stem}-{painting.stem}", wanted[-1]))
            content_losses.append(((got[-1] - target) ** 2).mean())
            style_losses.append(
                sum(
                    ((a.mean(axis=1) - b.mean(axis=1)) ** 2).mean() + ((_deviation(a) - _deviation(b)) ** 2).mean()
                    for a, b in zip(got, wanted, strict=True)
                )
            )
    means = {"content_loss": content_losses, "style_loss": style_losses, "reconstruction_psnr": psnrs}
    return folder, {name: float(np.mean(values)) for name, values in means.items()}


def test_numbers_are_those_of_a_computation_by_hand_for_a_decoder_and_for_a_folder_of_its_results(
    by_hand: tuple[Path, dict[str, float]], contents: Path, styles: Path, tmp_path: Path, impasto: Command
) -> None:
    folder, expected = by_hand
    pictures = ("--content", contents, "--style", styles, "--size", SIDE, "--every", 3)
    done = impasto("evaluate", DECODER, folder, *pictures, "--json", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    ours, theirs, photo = json.loads(done.stdout)
    for row in (ours, theirs):
        assert row["pairs"] == 6
        for name, value in expected.items():
            assert row[name] == pytest.approx(value, rel=2e-3), name
    assert theirs["edge_ssim"] == pytest.approx(ours["edge_ssim"], abs=2e-3)
    assert theirs["colour_distance"] == pytest.approx(ours["colour_distance"], abs=1e-3)
    assert photo["colour_distance"] > 0
    assert photo["edge_ssim"] == pytest.approx(1)
    assert photo["reconstruction_psnr"] is None
    assert json.loads((tmp_path / "evaluation.json").read_text()) == [ours, theirs, photo]

    with Image.open(tmp_path / "decoder.png") as sheet:
        # A corner and three contents across; contents, reconstructions and two styles down.
        assert sheet.size == (4 * 164, 4 * 164)
        cell = np.asarray(sheet.crop((164, 0, 164 + 160, 160)), float)
    with Image.open(sorted(contents.iterdir())[0]) as photo_:
        shown = np.asarray(photo_.resize((160, 160), Image.Resampling.BICUBIC), float)
    assert abs(cell - shown).mean() < 2


def test_a_table_sets_methods_side_by_side(
    by_hand: tuple[Path, dict[str, float]], contents: Path, styles: Path, impasto: Command
) -> None:
    done = impasto("evaluate", by_hand[0], "--content", contents, "--style", styles, "--size", SIDE, "--every", 3)
    assert done.returncode == 0, done.stderr
    header, theirs, photo = done.stdout.strip("\n").splitlines()
    assert "style loss" in header
    assert float(theirs.split()[3]) == pytest.approx(by_hand[1]["style_loss"], abs=0.002)
    assert photo.startswith("(the photo itself)")


def test_plain_styles_are_judged_where_asked(contents: Path, styles: Path, impasto: Command) -> None:
    pictures = ("--content", contents, "--style", styles, "--size", 32, "--every", 9)
    rows = json.loads(impasto("evaluate", *pictures, "--plain", "--json").stdout)
    assert [bool(row.get("plain")) for row in rows] == [True, False]
    assert 0 < rows[0]["plain"]["colour_distance"] < rows[0]["plain"]["worst_colour_distance"]
    *_, header, ours = impasto("evaluate", *pictures, "--plain").stdout.strip().splitlines()
    assert header.split() == ["plain", "styles", "colour", "worst", "texture"]
    assert float(ours.split()[1]) == pytest.approx(rows[0]["plain"]["colour_distance"], abs=0.1)


def test_what_is_missing_is_named(contents: Path, styles: Path, tmp_path: Path, impasto: Command) -> None:
    (tmp_path / "0-0.png").write_bytes(b"")
    pictures = ("--content", contents, "--style", styles)
    done = impasto("evaluate", tmp_path, *pictures)
    assert done.returncode == 1
    assert "0-1.png" in done.stderr
    absent = impasto("evaluate", "--content", tmp_path / "none", "--style", styles)
    assert absent.returncode != 0
    assert "none" in absent.stderr
