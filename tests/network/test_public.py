"""Public checkpoints, built in exactly their layout with random weights, against our networks made of them."""

import hashlib
import json
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet50, vgg19

from app.evaluation.encoders import load_encoder
from app.network import public
from app.network.adain import adain, channel_statistics
from app.network.decoder import Decoder
from app.network.encoder import VGGEncoder
from app.network.weights import DECODER, ENCODER, WeightsError, read_networks, read_weights
from tests.training.conftest import Command


def _conv(n_in: int, n_out: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(1), nn.Conv2d(n_in, n_out, 3), nn.ReLU()]


def _random(network: nn.Sequential, seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
            assert module.bias is not None
            nn.init.uniform_(module.bias, -0.1, 0.1)
    return network.eval()


def _their_vgg() -> nn.Sequential:
    """VGG-19 whole, up to relu5_4, behind a 1x1 convolution that preprocesses."""
    layers: list[nn.Module] = [nn.Conv2d(3, 3, 1)]
    n_in = 3
    for number, (width, depth) in enumerate(((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))):
        if number:
            layers.append(nn.MaxPool2d(2, 2, 0, ceil_mode=True))
        for _ in range(depth):
            layers += _conv(n_in, width)
            n_in = width
    return _random(nn.Sequential(*layers), 1)


def _their_decoder() -> nn.Sequential:
    layers: list[nn.Module] = []
    plan = [
        (512, 256),
        "up",
        (256, 256),
        (256, 256),
        (256, 256),
        (256, 128),
        "up",
        (128, 128),
        (128, 64),
        "up",
        (64, 64),
    ]
    for entry in plan:
        if isinstance(entry, str):
            layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
        else:
            layers += _conv(*entry)
    layers += _conv(64, 3)[:2]
    return _random(nn.Sequential(*layers), 2)


def _close(ours: Tensor, theirs: Tensor) -> bool:
    return float((ours - theirs).abs().max() / theirs.abs().max()) < 1e-4


@torch.inference_mode()
def test_the_public_adain_gives_the_same_pictures_through_our_networks(tmp_path: Path, impasto: Command) -> None:
    vgg, decoder = _their_vgg(), _their_decoder()
    torch.save(vgg.state_dict(), tmp_path / "vgg_normalised.pth")
    torch.save(decoder.state_dict(), tmp_path / "decoder.pth")
    assert {"0.weight", "2.weight", "5.weight", "29.weight"} <= vgg.state_dict().keys()
    assert {"1.weight", "5.weight", "8.weight", "28.weight"} <= decoder.state_dict().keys()
    files = ("--vgg", tmp_path / "vgg_normalised.pth", "--decoder", tmp_path / "decoder.pth")
    done = impasto("weights", "import", *files, "--out", tmp_path / "ours")
    assert done.returncode == 0, done.stderr

    our_vgg = VGGEncoder.from_weights(read_weights(tmp_path / "ours" / "vgg19-relu4_1.safetensors"))
    our_decoder = Decoder.from_weights(read_weights(tmp_path / "ours" / "decoder.safetensors"))
    content, style = torch.rand(1, 3, 72, 56), torch.rand(1, 3, 48, 64)
    up_to_relu4_1 = vgg[:31]
    theirs = up_to_relu4_1(content)
    assert _close(our_vgg(content), theirs)
    target = adain(theirs, *channel_statistics(up_to_relu4_1(style)))
    ours = adain(our_vgg(content), *channel_statistics(our_vgg(style)))
    assert _close(our_decoder(ours), decoder(target))


@torch.inference_mode()
def test_torchvisions_vgg19_keeps_its_features_with_the_normalisation_folded_in(
    tmp_path: Path, impasto: Command
) -> None:
    torch.manual_seed(3)
    theirs = vgg19().eval()
    path = tmp_path / "vgg19.pth"
    torch.save({key: value for key, value in theirs.state_dict().items() if key.startswith("features.")}, path)
    assert impasto("weights", "import", "--torchvision", "vgg19", "--file", path, "--out", tmp_path).returncode == 0
    ours = load_encoder("vgg19", tmp_path / "vgg19-relu4_1.safetensors")
    for module in theirs.features:
        if isinstance(module, nn.Conv2d):
            module.padding_mode = "reflect"
            module._reversed_padding_repeated_twice = [1, 1, 1, 1]
    x = torch.rand(1, 3, 64, 48)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (public.IMAGENET_MEAN, public.IMAGENET_STD))
    assert _close(ours.taps(x)[-1], theirs.features[:21]((x - mean) / std))


@torch.inference_mode()
def test_resnet50_has_taps_a_decoder_can_be_trained_under(tmp_path: Path) -> None:
    torch.manual_seed(4)
    theirs = resnet50().eval()
    torch.save(theirs.state_dict(), tmp_path / "resnet50.pth")
    encoder = load_encoder("resnet50", tmp_path / "resnet50.pth")
    x = torch.rand(2, 3, 64, 64)
    taps = encoder.taps(x)
    assert [tuple(tap.shape) for tap in taps] == [(2, 64, 32, 32), (2, 256, 16, 16), (2, 256, 16, 16), (2, 512, 8, 8)]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (public.IMAGENET_MEAN, public.IMAGENET_STD))
    stem = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1((x - mean) / std))))
    assert _close(taps[-1], theirs.layer2(theirs.layer1(stem)))
    wrapped = {"state_dict": {f"module.{name}": tensor for name, tensor in theirs.state_dict().items()}, "epoch": 3}
    torch.save(wrapped, tmp_path / "wrapped.pth")
    assert torch.equal(load_encoder("resnet50", tmp_path / "wrapped.pth").taps(x)[-1], taps[-1])


class _Harmful:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")


def test_a_checkpoint_that_would_run_code_is_refused_unrun(tmp_path: Path, impasto: Command) -> None:
    trap = tmp_path / "trap"
    path = tmp_path / "decoder.pth"
    torch.save({"1.weight": _Harmful(str(trap))}, path, pickle_module=pickle)
    done = impasto("weights", "import", "--decoder", path, "--out", tmp_path / "out")
    assert done.returncode == 1
    assert "not a PyTorch checkpoint of plain tensors" in done.stderr
    assert not trap.exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "what", ["absent", "empty", "text", "cut", "a list", "other names", "other widths", "odd bias"]
)
def test_a_file_of_another_layout_is_refused_in_one_line(tmp_path: Path, what: str) -> None:
    path = tmp_path / "decoder.pth"
    state = {
        f"{n}.{part}": torch.zeros(4, 4, 3, 3) if part == "weight" else torch.zeros(4)
        for n in (1, 5)
        for part in ("weight", "bias")
    }
    odd = _their_decoder().state_dict() | {"1.bias": torch.zeros(7)}
    contents: dict[str, object] = {"a list": [torch.zeros(1)], "other names": {"conv.weight": torch.zeros(1)}}
    contents |= {"other widths": state, "cut": state, "odd bias": odd}
    if what in contents:
        torch.save(contents[what], path)
    elif what != "absent":
        path.write_bytes(b"" if what == "empty" else b"hello\n" * 50)
    if what == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(WeightsError) as refused:
        public.adain_decoder(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def _wrapped(state: dict[str, Tensor], how: str) -> object:
    if how == "DataParallel":
        return {f"module.{name}": tensor for name, tensor in state.items()}
    if how == "a whole training":
        optimizer = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4}]}
        return {"epoch": 7, "model": state, "optimizer": optimizer}
    if how == "Lightning":
        return {"state_dict": {f"model.decoder.{name}": tensor for name, tensor in state.items()}, "epoch": 1}
    return {"decoder": {f"module.{name}": tensor for name, tensor in state.items()}, "step": torch.tensor(3)}


def _same(one: public.Imported, other: public.Imported) -> bool:
    tensors = zip(one.convolutions, other.convolutions, strict=True)
    equal = all(torch.equal(a, b) for mine, theirs in tensors for a, b in zip(mine, theirs, strict=True))
    return equal and one.metadata == other.metadata


@pytest.mark.parametrize("how", ["DataParallel", "a whole training", "Lightning", "by its name"])
def test_a_checkpoint_wrapped_as_trainings_wrap_it_is_read(tmp_path: Path, how: str) -> None:
    state = _their_decoder().state_dict()
    torch.save(state, tmp_path / "plain.pth")
    torch.save(_wrapped(state, how), tmp_path / "wrapped.pth")
    assert _same(public.adain_decoder(tmp_path / "wrapped.pth"), public.adain_decoder(tmp_path / "plain.pth"))


def test_encoder_and_decoder_in_one_file_are_told_apart(tmp_path: Path) -> None:
    vgg, decoder = _their_vgg().state_dict(), _their_decoder().state_dict()
    torch.save(vgg, tmp_path / "vgg.pth")
    torch.save(decoder, tmp_path / "decoder.pth")
    torch.save({"net": {"encoder": vgg, "decoder": decoder}}, tmp_path / "both.pth")
    assert _same(public.adain_vgg(tmp_path / "both.pth"), public.adain_vgg(tmp_path / "vgg.pth"))
    assert _same(public.adain_decoder(tmp_path / "both.pth"), public.adain_decoder(tmp_path / "decoder.pth"))


def test_two_networks_that_fit_are_named(tmp_path: Path) -> None:
    state = _their_decoder().state_dict()
    torch.save({"model": state, "model_ema": state}, tmp_path / "two.pth")
    with pytest.raises(WeightsError, match="several networks that fit, under 'model', 'model_ema'"):
        public.adain_decoder(tmp_path / "two.pth")


def test_a_decoder_alone_says_what_it_needs_and_runs_under_nothing_else(tmp_path: Path, impasto: Command) -> None:
    torch.save(_their_decoder().state_dict(), tmp_path / "decoder.pth")
    torch.save(_their_vgg().state_dict(), tmp_path / "vgg_normalised.pth")
    alone = impasto("weights", "import", "--decoder", tmp_path / "decoder.pth", "--out", tmp_path / "alone")
    assert alone.returncode == 0
    assert "runs with that encoder only" in alone.stderr
    decoder = tmp_path / "alone" / "decoder.safetensors"
    with pytest.raises(WeightsError, match="learned from vgg_normalised, not from"):
        read_networks(ENCODER, decoder)
    judged = impasto("evaluate", decoder, "--content", tmp_path, "--style", tmp_path)
    assert judged.returncode == 1
    impasto("weights", "import", "--vgg", tmp_path / "vgg_normalised.pth", "--out", tmp_path / "alone")
    read_networks(tmp_path / "alone" / "vgg19-relu4_1.safetensors", decoder)


def test_a_decoder_imported_with_its_encoder_belongs_to_it(tmp_path: Path, impasto: Command) -> None:
    torch.save(_their_decoder().state_dict(), tmp_path / "decoder.pth")
    torch.save(_their_vgg().state_dict(), tmp_path / "vgg_normalised.pth")
    files = ("--vgg", tmp_path / "vgg_normalised.pth", "--decoder", tmp_path / "decoder.pth")
    assert impasto("weights", "import", *files, "--out", tmp_path).returncode == 0
    read_networks(tmp_path / "vgg19-relu4_1.safetensors", tmp_path / "decoder.safetensors")
    with pytest.raises(WeightsError, match="was trained under the encoder file with SHA-256"):
        read_networks(ENCODER, tmp_path / "decoder.safetensors")


def test_inspect_tells_layers_hash_and_metadata(impasto: Command) -> None:
    path = DECODER
    facts = json.loads(impasto("weights", "inspect", path, "--json").stdout)
    assert facts["is"] == "decoder"
    assert facts["GMAC"] == 26.8
    assert facts["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert facts["metadata"]["upsample_after"] == "1,3,5"
    text = impasto("weights", "inspect", ENCODER).stdout
    assert "VGG-16 encoder" in text
    assert "53.6" in text


def test_inspect_of_what_is_no_weights_file_says_so(tmp_path: Path, impasto: Command) -> None:
    (tmp_path / "file.safetensors").write_bytes(b"nothing of the kind")
    for path, answer in (
        (tmp_path / "file.safetensors", "not a whole safetensors"),
        (tmp_path / "none", "cannot be read"),
    ):
        done = impasto("weights", "inspect", path)
        assert done.returncode == 1
        assert answer in done.stderr
