"""Public checkpoints of VGG and of AdaIN's decoder, turned into our files. Nothing in them is ever run."""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Imported:
    """Convolutions in the order they run, weight (out, in, 3, 3) and bias (out,) each, and the file's metadata."""

    convolutions: tuple[tuple[Tensor, Tensor], ...]
    metadata: dict[str, str]

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
    (mix, shift), *convolutions = _by_position(path, read_checkpoint(path))
    count = sum(map(len, VGG19))
    if mix.shape != (3, 3, 1, 1) or len(convolutions) < count:
        raise WeightsError(
            f"{path}: begins with a convolution {tuple(mix.shape)} and has {len(convolutions)} more; expected "
            f"vgg_normalised.pth, whose first is (3, 3, 1, 1) and is followed by {count} up to conv4_1 at least"
        )
    convolutions = [_folded(*convolutions[0], mix[:, :, 0, 0], shift), *convolutions[1:count]]
    _check(path, convolutions, stage_widths(VGG19))
    return Imported(tuple(convolutions), {"network": "VGG-19", "input": "RGB in [0, 1]", "padding": "reflect"})


def adain_decoder(path: Path) -> Imported:
    """`decoder.pth`: nine convolutions that mirror VGG-19 up to relu4_1.

    Raises WeightsError for a file of another layout.
    """
    convolutions = _by_position(path, read_checkpoint(path))
    _check(path, convolutions, ADAIN_DECODER)
    upsampling = ",".join(map(str, ADAIN_UPSAMPLING))
    return Imported(tuple(convolutions), {"upsample_after": upsampling, "padding": "reflect"})


def torchvision_vgg(name: str, state: Mapping[str, Tensor]) -> Imported:
    """torchvision's `vgg16` or `vgg19` up to conv4_1, its normalisation of the input folded into conv1_1.

    Raises WeightsError for a state of another layout.
    """
    stages = TORCHVISION[name]
    count = sum(map(len, stages))
    features = {key.removeprefix("features."): value for key, value in state.items() if key.startswith("features.")}
    convolutions = _by_position(Path(name), features)[:count]
    _check(Path(name), convolutions, stage_widths(stages))
    std = torch.tensor(IMAGENET_STD, dtype=torch.float64)
    mean = torch.tensor(IMAGENET_MEAN, dtype=torch.float64)
    convolutions[0] = _folded(*convolutions[0], torch.diag(1 / std), -mean / std)
    network = f"VGG-{name.removeprefix('vgg')}"
    return Imported(tuple(convolutions), {"network": network, "input": "RGB in [0, 1]", "padding": "reflect"})


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
    """The tensors of a `.pth` file, read without running anything it holds.

    Raises WeightsError for anything but a dictionary of tensors.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path}: is not a PyTorch checkpoint of plain tensors ({first})") from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: expected a state_dict, names to tensors")
    return dict(state)


def _by_position(path: Path, state: Mapping[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
    """`4.weight`, `4.bias` ... of an nn.Sequential, in order, in double precision."""
    try:
        places = sorted({int(key.split(".")[0]) for key in state})
        return [(state[f"{place}.weight"].double(), state[f"{place}.bias"].double()) for place in places]
    except (ValueError, KeyError):
        odd = sorted(state)[:4]
        raise WeightsError(f"{path}: expected tensors N.weight and N.bias of an nn.Sequential; found {odd}") from None


def _folded(weight: Tensor, bias: Tensor, mix: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """The convolution that does to x what `weight`, `bias` do to mix @ x + shift."""
    folded = torch.einsum("oikl,ij->ojkl", weight.double(), mix.double())
    return folded, bias.double() + weight.double().sum((2, 3)) @ shift.double()


def _check(path: Path, convolutions: Sequence[tuple[Tensor, Tensor]], widths: Sequence[tuple[int, int]]) -> None:
    found = [tuple(weight.shape) for weight, _ in convolutions]
    if found != [(n_out, n_in, 3, 3) for n_in, n_out in widths]:
        raise WeightsError(f"{path}: has convolutions {found}; expected 3x3 ones of (in, out) channels {list(widths)}")
    if any(bias.shape != weight.shape[:1] for weight, bias in convolutions):
        raise WeightsError(f"{path}: a bias does not fit its convolution")
