"""The encoders a decoder can be trained for: four taps each, the last with 512 channels at an eighth of the size."""

import hashlib
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from app.network import public
from app.network.encoder import VGGEncoder
from app.network.layout import VGG16, VGG19, encoder_stages
from app.network.weights import ENCODER, WeightsError, WeightsFile, read_weights

VGG_STAGES: Final = {"vgg16": VGG16, "vgg19": VGG19}


class TapEncoder(nn.Module, ABC):
    """What training asks of an encoder. `channels` of each tap; `sha256` of its weights, which a decoder belongs to."""

    channels: tuple[int, ...]
    sha256: str
    name: str | None = None  # by which a public decoder names the encoder it belongs to

    @abstractmethod
    def taps(self, images: Tensor) -> list[Tensor]:
        """RGB (N, 3, H, W) in [0, 1] -> four taps, the last (N, 512, H / 8, W / 8)."""


class VGGTaps(TapEncoder):
    """VGG as the service runs it: relu1_1, relu2_1, relu3_1, relu4_1."""

    def __init__(self, weights: WeightsFile) -> None:
        super().__init__()
        self.vgg = VGGEncoder.from_weights(weights)
        self.channels = tuple(stage[0] for stage in self.vgg.stages)
        self.sha256 = weights.sha256
        self.name = weights.metadata.get("name")

    def taps(self, images: Tensor) -> list[Tensor]:
        return self.vgg.taps(images)


class ResNet50Taps(TapEncoder):
    """ResNet-50 (He et al. 2016): conv1 at 1/2, layer1's first and last block at 1/4, layer2 at 1/8."""

    channels = (64, 256, 256, 512)

    def __init__(self, state: dict[str, Tensor], sha256: str) -> None:
        from torchvision.models import resnet50

        super().__init__()
        self.sha256 = sha256
        whole = resnet50()
        whole.load_state_dict(state)
        self.stem = nn.Sequential(whole.conv1, whole.bn1, whole.relu)
        self.pool = whole.maxpool
        self.layer1 = whole.layer1
        self.layer2 = whole.layer2
        self.register_buffer("mean", torch.tensor(public.IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(public.IMAGENET_STD).view(1, 3, 1, 1))

    def taps(self, images: Tensor) -> list[Tensor]:
        stem = self.stem((images - self.get_buffer("mean")) / self.get_buffer("std"))
        first = self.layer1[0](self.pool(stem))
        last = self.layer1[1:](first)
        return [stem, first, last, self.layer2(last)]


def load_encoder(name: str, path: Path | None) -> TapEncoder:
    """The encoder called `name`, from a file, embedded in the package (vgg16), or fetched by torchvision.

    Raises WeightsError for a missing or wrong file, and where nothing can be fetched.
    """
    encoder = _resnet50(path) if name == "resnet50" else _vgg(name, path)
    return encoder.eval().requires_grad_(False)


def _vgg(name: str, path: Path | None) -> TapEncoder:
    if path is None and name == "vgg19":
        raise WeightsError(
            "vgg19 is not embedded: write its file with `impasto weights import --torchvision vgg19 --out DIR` "
            "or `impasto weights import --vgg vgg_normalised.pth --out DIR`, and give it as --encoder-weights"
        )
    weights = read_weights(path or ENCODER)
    if encoder_stages(weights) != VGG_STAGES[name]:
        raise WeightsError(f"{weights.path}: is not {name}; choose the --encoder it is of")
    return VGGTaps(weights)


def _resnet50(path: Path | None) -> TapEncoder:
    if path is None:
        state = public.fetch("resnet50")
        sha256 = hashlib.sha256(b"".join(state[name].numpy().tobytes() for name in sorted(state))).hexdigest()
    else:
        state, sha256 = _state(path), hashlib.sha256(path.read_bytes()).hexdigest()
    try:
        return ResNet50Taps(state, sha256)
    except RuntimeError as error:
        raise WeightsError(f"{path}: is not torchvision's ResNet-50 ({str(error).splitlines()[-1].strip()})") from None


def _state(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        try:
            return dict(load_file(path))
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"{path}: cannot be read ({error}); expected a safetensors file") from None
    return public.read_checkpoint(path)
