"""A weights file is what it should be, or one line says which file is wrong and what was expected."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from app.network import weights
from app.network.weights import DECODER, ENCODER, WeightsError, read_weights

Tensors = dict[str, NDArray[np.generic]]


@pytest.mark.parametrize("path", [ENCODER, DECODER])
def test_the_embedded_files_are_read(path: Path) -> None:
    read = read_weights(path)
    assert len(read.convolutions) == 8
    assert read.convolutions[0].weight.dtype == np.float32
    assert read.sha256 in weights.HASHES.read_text()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copy(DECODER, tmp_path / "mine.safetensors"))


def test_a_file_of_the_users_own_needs_no_known_hash_but_keeps_one_it_is_given(copy: Path) -> None:
    digest = read_weights(copy).sha256
    assert read_weights(copy, digest).sha256 == digest
    with pytest.raises(WeightsError, match="expected 00000000"):
        read_weights(copy, "0" * 64)


def test_a_changed_embedded_file_is_refused(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy.parent / "SHA256SUMS").write_text(f"{'1' * 64}  {copy.name}\n")
    monkeypatch.setattr(weights, "EMBEDDED", copy.parent)
    monkeypatch.setattr(weights, "HASHES", copy.parent / "SHA256SUMS")
    with pytest.raises(WeightsError, match="expected 11111111"):
        read_weights(copy)


def refused(path: Path, *expected: str) -> None:
    with pytest.raises(WeightsError) as caught:
        read_weights(path)
    message = str(caught.value)
    assert "\n" not in message
    for text in (path.name, *expected):
        assert text in message


def test_missing_empty_cut_off_and_foreign_files_are_refused(copy: Path, tmp_path: Path) -> None:
    refused(tmp_path / "missing.safetensors", "cannot be read", "No such file")
    refused(tmp_path, "cannot be read")
    whole = copy.read_bytes()
    for data in (b"", whole[:5], whole[:1000], whole[:-1], b"PK\x03\x04" + whole, b"\x80\x04" + bytes(100)):
        copy.write_bytes(data)
        refused(copy, "not a whole safetensors file")


def rename(tensors: Tensors) -> None:
    tensors["layers.0.weight"] = tensors.pop("convs.0.weight")


def lose_a_bias(tensors: Tensors) -> None:
    del tensors["convs.3.bias"]


def five_by_five(tensors: Tensors) -> None:
    tensors["convs.0.weight"] = np.zeros((256, 512, 5, 5), np.float32)


def break_the_chain(tensors: Tensors) -> None:
    tensors["convs.1.weight"] = np.zeros((256, 100, 3, 3), np.float32)


def not_finite(tensors: Tensors) -> None:
    tensors["convs.7.bias"] = np.array([0, np.nan, 0], np.float32)


def nothing(tensors: Tensors) -> None:
    tensors.clear()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (rename, "layers.0.weight"),
        (lose_a_bias, "convs.3.bias"),
        (five_by_five, "expected (out, in, 3, 3)"),
        (break_the_chain, "convs.1 takes 100 channels; convs.0 gives 256"),
        (not_finite, "convs.7 has values that are not finite"),
        (nothing, "convs.N.weight"),
    ],
)
def test_wrong_tensors_are_named(copy: Path, spoil: Callable[[Tensors], None], message: str) -> None:
    tensors: Tensors = dict(load_file(copy))
    spoil(tensors)
    save_file(tensors, copy)
    refused(copy, message)


def test_half_precision_is_widened(copy: Path) -> None:
    halves = {name: tensor.astype(np.float16) for name, tensor in load_file(copy).items()}
    save_file(halves, copy, {"upsample_after": "1,3,5"})
    read = read_weights(copy)
    assert read.convolutions[0].weight.dtype == np.float32
    assert read.upsample_after == (1, 3, 5)
    np.testing.assert_allclose(
        read.convolutions[0].weight, read_weights(DECODER).convolutions[0].weight, rtol=1e-3, atol=1e-7
    )
