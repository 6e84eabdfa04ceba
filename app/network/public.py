"""Public checkpoints of VGG and of AdaIN's decoder, turned into our files. Nothing in them is ever run."""

import hashlib
import pickle
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.error import URLError

import safetensors.torch
import torch
from torch import Tensor

from app.network.layout import VGG16, VGG19, Stages, stage_widths
from app.network.weights import WeightsError

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
IMAGENET_STD: Final = (0.229, 0.224, 0.225)

# naoto0804/pytorch-AdaIN, nn.Sequential: its decoder doubles the size after these of its nine convolutions.
ADAIN_UPSAMPLING: Final = (0, 4, 6)
ADAIN_DECODER: Final = (
    (512, 256),
    (256, 256),
    (256, 256),
    (256, 256),
    (256, 128),
    (128, 128),
    (128, 64),
    (64, 64),
    (64, 3),
)
TORCHVISION: Final[dict[str, Stages]] = {"vgg16": VGG16, "vgg19": VGG19}
ADAIN_ENCODER: Final = "vgg_normalised"

INPUT: Final = {"input": "RGB in [0, 1]", "padding": "reflect"}

Convolutions = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Imported:
    """Convolutions in the order they run, weight (out, in, 3, 3) and bias (out,) each, and the file's metadata."""

    convolutions: tuple[tuple[Tensor, Tensor], ...]
    metadata: dict[str, str]

    def under(self, encoder: bytes) -> "Imported":
        """A decoder that belongs to this encoder's file."""
        return replace(self, metadata={**self.metadata, "encoder_sha256": hashlib.sha256(encoder).hexdigest()})

    def encoded(self) -> bytes:
        """The safetensors file."""
        tensors = {}
        for n, (weight, bias) in enumerate(self.convolutions):
            tensors[f"convs.{n}.weight"] = weight.float().contiguous()
            tensors[f"convs.{n}.bias"] = bias.float().contiguous()
        return safetensors.torch.save(tensors, self.metadata)


def adain_vgg(path: Path) -> Imported:
    """`vgg_normalised.pth`: VGG-19 from a 1x1 convolution that preprocesses, up to conv4_1; what follows is left out.

    The 1x1 is folded into conv1_1, exactly, since reflection padding pads its output as it pads its input.
    Raises WeightsError for a file of another layout.
    """
    widths = stage_widths(VGG19)
    layout = "vgg_normalised.pth, whose first convolution is 1x1, (3, 3, 1, 1), before VGG-19"
    (mix, shift), *convolutions = _sequence(path, read_checkpoint(path), [(3, 3, 1, 1), *_shapes(widths)], layout)
    convolutions[0] = _folded(*convolutions[0], mix[:, :, 0, 0], shift)
    return Imported(tuple(convolutions), {"name": ADAIN_ENCODER, "network": "VGG-19", **INPUT})


def adain_decoder(path: Path) -> Imported:
    """`decoder.pth`: nine convolutions that mirror VGG-19 up to relu4_1.

    Raises WeightsError for a file of another layout.
    """
    layout = "decoder.pth, nine convolutions that mirror VGG-19 up to relu4_1"
    convolutions = _sequence(path, read_checkpoint(path), _shapes(ADAIN_DECODER), layout, whole=True)
    upsampling = ",".join(map(str, ADAIN_UPSAMPLING))
    metadata = {"upsample_after": upsampling, "padding": "reflect", "encoder": ADAIN_ENCODER}
    return Imported(tuple(convolutions), metadata)


def torchvision_vgg(name: str, state: Mapping[str, Tensor], path: Path | None = None) -> Imported:
    """torchvision's `vgg16` or `vgg19` up to conv4_1, its normalisation of the input folded into conv1_1.

    Raises WeightsError for a state of another layout.
    """
    widths = stage_widths(TORCHVISION[name])
    convolutions = _sequence(path or Path(name), state, _shapes(widths), f"torchvision's {name}")
    std = torch.tensor(IMAGENET_STD, dtype=torch.float64)
    mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float64)
    convolutions[0] = _folded(*convolutions[0], torch.diag(1 / std), -mean / std)
    network = f"VGG-{name.removeprefix('vgg')}"
    return Imported(tuple(convolutions), {"name": f"torchvision {name}", "network": network, **INPUT})


def fetch(name: str) -> dict[str, Tensor]:
    """torchvision's ImageNet weights of that network, downloaded where they are not yet.

    Raises WeightsError where they cannot be.
    """
    import torchvision

    try:
        model = torchvision.models.get_model(name, weights="IMAGENET1K_V1")
    except (URLError, OSError, RuntimeError) as error:
        raise WeightsError(f"{name}: torchvision could not fetch it ({error}); give a file instead") from None
    return dict(model.state_dict())


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.pth` file by name, less a wrapper's that all begin with; nothing it holds is run.

    Raises WeightsError for anything but dictionaries of tensors, one in another as it may be.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path}: is not a PyTorch checkpoint of plain tensors ({first})") from None
    if not isinstance(state, Mapping):
        raise WeightsError(f"{path}: expected a state_dict, names to tensors; found a {type(state).__name__}")
    return _unwrapped(dict(_flat(state)))


def _flat(state: Mapping[object, object], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a checkpoint, however deep, as of a whole training; by its names joined with dots."""
    for name, value in state.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{name}", value
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")


def _unwrapped(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without `module.`, `state_dict.` or whatever names a whole network, however many there are."""
    wrappers = {name.partition(".")[0] for name in state}
    if len(wrappers) != 1 or wrappers & state.keys() or (wrapper := wrappers.pop()).isdigit():
        return state
    return _unwrapped({name.removeprefix(f"{wrapper}."): tensor for name, tensor in state.items()})


def _sequence(
    path: Path, state: Mapping[str, Tensor], shapes: Sequence[tuple[int, ...]], layout: str, whole: bool = False
) -> Convolutions:
    """The convolutions of these weights' shapes, in double precision, of the nn.Sequential in `state` that has them.

    It may stand anywhere, as `module.` (DataParallel), `state_dict.decoder.` or `model.features.`; with `whole` it has
    no layers more.
    """
    found = _sequentials(state)
    fit = []
    for name, convolutions in found.items():
        begins = [tuple(weight.shape) for weight, _ in convolutions[: len(shapes)]] == list(shapes)
        if begins and (len(convolutions) == len(shapes) or not whole):
            fit.append(name)
    if len(fit) > 1:
        names = ", ".join(repr(name.rstrip(".")) for name in fit)
        raise WeightsError(f"{path}: has several networks that fit, under {names}; save the one you want by itself")
    if not fit:
        seen = "; ".join(
            f"{name.rstrip('.') or 'at the top'}: {len(c)} from {tuple(c[0][0].shape)}" for name, c in found.items()
        )
        raise WeightsError(f"{path}: expected {layout}; found {seen or f'names such as {sorted(state)[:4]}'}")
    convolutions = found[fit[0]][: len(shapes)]
    if any(bias.shape != weight.shape[:1] for weight, bias in convolutions):
        raise WeightsError(f"{path}: a bias does not fit its convolution")
    return [(weight.double(), bias.double()) for weight, bias in convolutions]


def _sequentials(state: Mapping[str, Tensor]) -> dict[str, Convolutions]:
    """Every run of `PREFIX.N.weight` and `PREFIX.N.bias`, in order, by its prefix."""
    places: dict[str, set[int]] = {}
    for key in state:
        if match := re.fullmatch(r"(.*\.)?(\d+)\.weight", key):
            places.setdefault(match[1] or "", set()).add(int(match[2]))
    runs = {}
    for prefix, numbers in places.items():
        keys = [(f"{prefix}{n}.weight", f"{prefix}{n}.bias") for n in sorted(numbers)]
        runs[prefix] = [(state[weight], state[bias]) for weight, bias in keys if bias in state]
    return {prefix: run for prefix, run in runs.items() if run}


def _shapes(widths: Sequence[tuple[int, int]]) -> list[tuple[int, ...]]:
    return [(n_out, n_in, 3, 3) for n_in, n_out in widths]


def _folded(weight: Tensor, bias: Tensor, mix: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """The convolution that does to x what `weight`, `bias` do to mix @ x + shift."""
    folded = torch.einsum("oikl,ij->ojkl", weight.double(), mix.double())
    return folded, bias.double() + weight.double().sum((2, 3)) @ shift.double()
