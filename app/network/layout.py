"""What layers the two networks have, as their weights files tell; knows nothing of torch, as `weights`."""

from itertools import pairwise
from typing import Final

from app.network.weights import WeightsError, WeightsFile

Stages = tuple[tuple[int, ...], ...]

# Output channels of each convolution, by stage; 2x2 max pooling stands between stages (Simonyan & Zisserman 2015).
VGG16: Final[Stages] = ((64, 64), (128, 128), (256, 256, 256), (512,))
VGG19: Final[Stages] = ((64, 64), (128, 128), (256, 256, 256, 256), (512,))
FEATURES: Final = 512
STRIDE: Final = 8


def stage_widths(stages: Stages) -> tuple[tuple[int, int], ...]:
    """(in, out) channels of each convolution, from RGB on."""
    return tuple(pairwise((3, *(width for stage in stages for width in stage))))


def encoder_stages(weights: WeightsFile) -> Stages:
    """The table the file's shapes fit.

    Raises WeightsError when they fit neither VGG-16 nor VGG-19.
    """
    for stages in (VGG16, VGG19):
        if stage_widths(stages) == weights.widths:
            return stages
    raise WeightsError(f"{weights.path}: layers {weights.widths} are neither VGG-16 nor VGG-19 up to conv4_1")


def arithmetic(encoder: WeightsFile, decoder: WeightsFile) -> tuple[float, ...]:
    """Multiplications for each pixel of a picture, of the encoder and of each segment of the decoder, between which
    stands partial AdaIN.
    """
    scales = [4.0**-number for number, stage in enumerate(encoder_stages(encoder)) for _ in stage]
    costs = [sum(scale * one.weight.size for scale, one in zip(scales, encoder.convolutions, strict=True))]
    scale, segment = STRIDE**-2, 0.0
    upsample_after = decoder_upsampling(decoder)
    for index, convolution in enumerate(decoder.convolutions):
        segment += scale * convolution.weight.size
        if index in decoder.adain:
            costs.append(segment)
            segment = 0.0
        if index in upsample_after:
            scale *= 4
    return (*costs, segment)


def decoder_upsampling(weights: WeightsFile) -> frozenset[int]:
    """Indices of the convolutions a decoder doubles the size after.

    Raises WeightsError when the file does not lead from 512 channels to RGB at eight times the size.
    """
    widths, upsample_after = weights.widths, weights.upsample_after
    if widths[0][0] != FEATURES or widths[-1][1] != 3:
        raise WeightsError(
            f"{weights.path}: leads from {widths[0][0]} to {widths[-1][1]} channels; expected {FEATURES} to 3 (RGB)"
        )
    if 2 ** len(set(upsample_after)) != STRIDE or not set(upsample_after) <= set(range(len(widths) - 1)):
        raise WeightsError(
            f"{weights.path}: doubles the size after convolutions {upsample_after}; "
            f"expected three different ones of 0 to {len(widths) - 2}"
        )
    return frozenset(upsample_after)
