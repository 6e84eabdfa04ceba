"""A weights file is what it should be, or one line says which file is wrong and what was expected."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from app.network import weights
from app.network.weights import DECODER, ENCODER, WeightsError, read_networks, read_weights

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


def whole_numbers(tensors: Tensors) -> None:
    tensors["convs.2.weight"] = tensors["convs.2.weight"].astype(np.int32)


def partial_adain_of_another_width(tensors: Tensors) -> None:
    tensors["adain.1.weight"] = np.zeros((256, 256), np.float32)


def partial_adain_after_the_last(tensors: Tensors) -> None:
    tensors["adain.7.weight"] = np.zeros((6, 6), np.float32)


def partial_adain_not_finite(tensors: Tensors) -> None:
    tensors["adain.6.weight"] = np.full((64, 64), np.inf, np.float32)


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
        (whole_numbers, "convs.2 has values of int32; expected float32 or float16"),
        (nothing, "convs.N.weight"),
        (partial_adain_of_another_width, "adain.1.weight is (256, 256); expected adain.N.weight, twice the outputs"),
        (partial_adain_after_the_last, "adain.7.weight is (6, 6); expected adain.N.weight"),
        (partial_adain_not_finite, "adain.6.weight has values that are not finite"),
    ],
)
def test_wrong_tensors_are_named(copy: Path, spoil: Callable[[Tensors], None], message: str) -> None:
    tensors: Tensors = dict(load_file(copy))
    spoil(tensors)
    save_file(tensors, copy)
    refused(copy, message)


def small_file(dtype: str = "F32", size: int = 4) -> bytes:
    """A whole decoder of four thin layers, all zero, 0.1 MB."""
    header: dict[str, object] = {"__metadata__": {"upsample_after": "0,1,2"}}
    end = 0
    for n, (n_in, n_out) in enumerate([(512, 4), (4, 4), (4, 4), (4, 3)]):
        for part, shape in (("weight", [n_out, n_in, 3, 3]), ("bias", [n_out])):
            since, end = end, end + size * int(np.prod(shape))
            header[f"convs.{n}.{part}"] = {"dtype": dtype, "shape": shape, "data_offsets": [since, end]}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(end)


def test_bfloat16_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(small_file("BF16", 2))
    refused(path, "has tensors of type BF16; expected float32 or float16")


DAMAGE = st.tuples(st.integers(0, 700), st.one_of(st.integers(0, 255), st.sampled_from(b'"{}[],:0123456789')))


@given(st.lists(DAMAGE, min_size=1, max_size=3))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_header_is_refused_in_one_line_or_does_no_harm(tmp_path: Path, damage: list[tuple[int, int]]) -> None:
    data = bytearray(small_file())
    for place, byte in damage:
        data[place] = byte
    path = tmp_path / "mine.safetensors"
    path.write_bytes(data)
    try:
        assert read_weights(path).widths == ((512, 4), (4, 4), (4, 4), (4, 3))
    except WeightsError as error:
        message = str(error)
    else:
        return
    assert message.startswith(str(path))
    assert len(message.splitlines()) == 1


def test_a_flipped_bit_among_the_values_breaks_the_hash(copy: Path) -> None:
    digest = read_weights(copy).sha256
    data = bytearray(copy.read_bytes())
    data[-5] ^= 1
    copy.write_bytes(data)
    read_weights(copy)
    with pytest.raises(WeightsError, match=f"expected {digest[:16]}"):
        read_weights(copy, digest)


def test_half_precision_is_widened(copy: Path) -> None:
    halves = {name: tensor.astype(np.float16) for name, tensor in load_file(copy).items()}
    save_file(halves, copy, {"upsample_after": "1,3,5"})
    read = read_weights(copy)
    assert read.convolutions[0].weight.dtype == np.float32
    assert read.upsample_after == (1, 3, 5)
    np.testing.assert_allclose(
        read.convolutions[0].weight, read_weights(DECODER).convolutions[0].weight, rtol=1e-3, atol=1e-7
    )


def test_a_decoder_is_only_taken_with_the_encoder_it_learned_from(copy: Path) -> None:
    tensors = load_file(DECODER)
    assert read_networks(ENCODER, DECODER)[1].metadata["encoder_sha256"] == read_weights(ENCODER).sha256
    save_file(tensors, copy, {"upsample_after": "1,3,5"})
    assert read_networks(ENCODER, copy)[1].path == copy, "a decoder that names no encoder is taken as it is"
    save_file(tensors, copy, {"upsample_after": "1,3,5", "encoder_sha256": "5" * 64})
    with pytest.raises(WeightsError, match=r"SHA-256 5555555555555555…, not under .*vgg16.*encoder's weights"):
        read_networks(ENCODER, copy)
