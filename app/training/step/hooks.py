"""Looking into a decoder while it runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from app.network.decoder import Decoder


@contextmanager
def hidden_outputs(decoder: Decoder, hook: Callable[[nn.Module, Tensor], Tensor | None]) -> Iterator[None]:
    """While it is open, `hook` gets every hidden convolution and its output, before the ReLU, and may replace it."""
    handles = [
        conv.register_forward_hook(lambda module, _, output: hook(module, output)) for conv in list(decoder.convs)[:-1]
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def silent_channels(decoder: Decoder) -> Iterator[dict[nn.Module, Tensor]]:
    """While it is open, watch the decoder: for each hidden convolution, which channels were never above 0 yet.

    Such a channel adds nothing to any picture, and no gradient reaches it.
    """
    silent: dict[nn.Module, Tensor] = {}

    def watch(conv: nn.Module, output: Tensor) -> None:
        quiet = output.amax((0, 2, 3)) <= 0
        silent[conv] = silent.get(conv, quiet) & quiet

    with hidden_outputs(decoder, watch):
        yield silent
