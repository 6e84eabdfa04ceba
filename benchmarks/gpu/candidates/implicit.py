"""The network's convolutions as one Triton kernel each: an implicit matrix product that pads, doubles, adds and clips.

Each output position is a row of a matrix of 9 C columns that is never written down: a block of it is gathered from the
layer where it is needed, reflected at the edges, and for a layer to be doubled from a position of half the size. Bias
and ReLU are applied to the sums before they are written. So each layer is written once and read once, by convolutions
alone; pooling and partial AdaIN stay torch's. Triton needs a C compiler the first time it runs.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from app.engine.torch import TorchEngine
from app.network.decoder import Decoder
from app.network.encoder import VGGEncoder


@triton.jit
def _convolution(
    x_pointer,
    weight_pointer,
    bias_pointer,
    y_pointer,
    positions,
    height,
    width,
    n_in: tl.constexpr,
    n_out: tl.constexpr,
    DOUBLES: tl.constexpr,  # noqa: N803
    RELU: tl.constexpr,  # noqa: N803
    ROWS: tl.constexpr,  # noqa: N803
    COLUMNS: tl.constexpr,  # noqa: N803
    DEPTH: tl.constexpr,  # noqa: N803
):
    """`height` and `width` are the output's, x's the same or half of it; `weight` is (9 n_in, n_out)."""
    column_blocks: tl.constexpr = (n_out + COLUMNS - 1) // COLUMNS
    block = tl.program_id(0)
    rows = (block // column_blocks) * ROWS + tl.arange(0, ROWS)
    columns = (block % column_blocks) * COLUMNS + tl.arange(0, COLUMNS)
    depths = tl.arange(0, DEPTH)
    across = rows % width
    down = (rows // width) % height
    picture = rows // (width * height)
    in_height = height // 2 if DOUBLES else height
    in_width = width // 2 if DOUBLES else width
    steps: tl.constexpr = (n_in + DEPTH - 1) // DEPTH
    sums = tl.zeros((ROWS, COLUMNS), tl.float32)
    for step in range(9 * steps):
        tap = step // steps
        channels = (step % steps) * DEPTH + depths
        y = tl.abs(down + tap // 3 - 1)
        y = tl.where(y >= height, 2 * height - 2 - y, y)
        x = tl.abs(across + tap % 3 - 1)
        x = tl.where(x >= width, 2 * width - 2 - x, x)
        if DOUBLES:
            y = y // 2
            x = x // 2
        start = ((picture * in_height + y) * in_width + x) * n_in
        gathered = tl.load(
            x_pointer + start[:, None] + channels[None, :],
            mask=(rows < positions)[:, None] & (channels < n_in)[None, :],
            other=0.0,
        )
        weights = tl.load(
            weight_pointer + (tap * n_in + channels)[:, None] * n_out + columns[None, :],
            mask=(channels < n_in)[:, None] & (columns < n_out)[None, :],
            other=0.0,
        )
        sums = tl.dot(gathered, weights, sums)
    sums += tl.load(bias_pointer + columns, mask=columns < n_out, other=0.0).to(tl.float32)[None, :]
    if RELU:
        sums = tl.maximum(sums, 0.0)
    tl.store(
        y_pointer + rows[:, None].to(tl.int64) * n_out + columns[None, :],
        sums.to(y_pointer.dtype.element_ty),
        mask=(rows < positions)[:, None] & (columns < n_out)[None, :],
    )


class Convolution:
    """One 3x3 convolution of a network, its weights laid out for the kernel."""

    def __init__(self, conv: torch.nn.Module) -> None:
        weight: Any = conv.weight
        self.bias: Any = conv.bias
        self.n_out, self.n_in = weight.shape[:2]
        self.weight = weight.permute(2, 3, 1, 0).reshape(9 * self.n_in, self.n_out).contiguous()

    def __call__(self, x: Tensor, doubles: bool = False, relu: bool = True) -> Tensor:
        """(N, C, h, w), channels_last, to (N, C', h, w), or to twice the size where it `doubles`."""
        count, _, height, width = x.shape
        if doubles:
            height, width = 2 * height, 2 * width
        positions = count * height * width
        x = x.contiguous(memory_format=torch.channels_last)
        y = torch.empty(
            (count, self.n_out, height, width), dtype=x.dtype, device=x.device, memory_format=torch.channels_last
        )
        blocks = block_sizes(self.n_in, self.n_out)
        grid = (triton.cdiv(positions, blocks["ROWS"]) * triton.cdiv(self.n_out, blocks["COLUMNS"]),)
        _convolution[grid](
            x,
            self.weight,
            self.bias,
            y,
            positions,
            height,
            width,
            self.n_in,
            self.n_out,
            DOUBLES=doubles,
            RELU=relu,
            **blocks,
        )
        return y


def block_sizes(n_in: int, n_out: int) -> dict[str, int]:
    """What a program computes, and by how many warps: guesses that wait for a card."""
    columns = min(128, max(16, triton.next_power_of_2(n_out)))
    depth = min(64, max(16, triton.next_power_of_2(n_in)))
    return {
        "ROWS": 128,
        "COLUMNS": columns,
        "DEPTH": depth,
        "num_warps": 8 if columns == 128 else 4,
        "num_stages": 4 if depth == 64 else 3,
    }


class ImplicitEncoder(VGGEncoder):
    """Its convolutions are laid out for the kernel when they first run, on the device they are on by then."""

    def forward(self, images: Tensor) -> Tensor:
        convs = iter(_laid_out(self))
        x = images
        for index, stage in enumerate(self.stages):
            if index:
                x = F.max_pool2d(x, 2)
            for _ in stage:
                x = next(convs)(x)
        return x


class ImplicitDecoder(Decoder):
    def segment(self, number: int, x: Tensor) -> Tensor:
        convs = _laid_out(self)
        for index in self.segment_convs(number):
            x = convs[index](x, index - 1 in self.upsample_after, index < len(convs) - 1)
        return x


class ImplicitEngine(TorchEngine):
    networks = (ImplicitEncoder, ImplicitDecoder)


def _laid_out(network: VGGEncoder | Decoder) -> list[Convolution]:
    known: list[Convolution] | None = getattr(network, "_convolutions", None)
    if known is None:
        known = [Convolution(conv) for conv in network.convs]
        object.__setattr__(network, "_convolutions", known)
    return known
