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
