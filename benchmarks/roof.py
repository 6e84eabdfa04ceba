"""What one picture costs at the least: the network's arithmetic, and the values its layers move."""

from app.network.layout import decoder_upsampling, encoder_stages
from app.network.weights import ENCODER, WeightsFile, read_weights


def operations(decoder: WeightsFile, side: int) -> float:
    """Multiplications and additions of direct convolution for a picture of side x side, encoder and decoder."""
    return 2 * 9 * sum(n_in * n_out * positions for n_in, n_out, positions in _convolutions(decoder, side))


def training_operations(decoder: WeightsFile, side: int, fresh: float = 1.0) -> float:
    """The same for a pair in a training step, of which a part `fresh` is encoded in it: its photo and its style.

    The style is decoded as far as the decoder's last partial AdaIN. The decoder runs forward and backward, twice that
    for inputs and weights; the encoder sees the result, and the way back through it is for inputs alone.
    """
    encoder = read_weights(ENCODER)
    each = [2 * 9 * n_in * n_out * positions for n_in, n_out, positions in _convolutions(decoder, side)]
    encoding, decoding = each[: len(encoder.widths)], each[len(encoder.widths) :]
    shown = decoding[: max(decoder.adain, default=-1) + 1]
    return 2 * fresh * sum(encoding) + sum(shown) + 3 * sum(decoding) + 2 * sum(encoding)


def values_moved(decoder: WeightsFile, side: int) -> float:
    """Values read and written when each convolution, pooling, doubling and partial AdaIN is one pass over a layer.

    Partial AdaIN reads its layer twice, since its statistics come first.
    """
    encoder = read_weights(ENCODER)
    moved = sum((n_in + n_out) * positions for n_in, n_out, positions in _convolutions(decoder, side))
    for scale, stage in enumerate(encoder_stages(encoder)[:-1]):
        moved += 1.25 * stage[-1] * (side / 2**scale) ** 2
    outputs = [(n_out, positions) for _, n_out, positions in _convolutions(decoder, side)][len(encoder.widths) :]
    moved += sum(5 * n_out * positions for n_out, positions in (outputs[n] for n in decoder_upsampling(decoder)))
    return moved + sum(3 * n_out * positions for n_out, positions in (outputs[n] for n in decoder.adain))


def _convolutions(decoder: WeightsFile, side: int) -> list[tuple[int, int, float]]:
    """Channels in, channels out and positions of each, the encoder's first."""
    encoder = read_weights(ENCODER)
    scales: list[float] = [2**scale for scale, stage in enumerate(encoder_stages(encoder)) for _ in stage]
    upsample_after = decoder_upsampling(decoder)
    scales += [8 / 2 ** sum(after < index for after in upsample_after) for index in range(len(decoder.widths))]
    widths = (*encoder.widths, *decoder.widths)
    return [(n_in, n_out, (side / scale) ** 2) for (n_in, n_out), scale in zip(widths, scales, strict=True)]
