"""Ways to run the network on a GPU that have not been measured yet, each an engine of its own.

Which of them is the service's is to be decided by `benchmarks.gpu` on a card. The winner moves into `app`, and
`TorchEngine.networks` names it; what lost is deleted.
"""

from collections.abc import Callable

import torch

from app.engine.tiles import Limits
from app.engine.torch import TorchEngine

# No picture of a benchmark is so large that it runs in tiles.
WHOLE = Limits(tile_width=2**14)
NAMES = ("graphs", "bordered", "eager", "tuned", "compiled", "implicit")


def candidate(name: str, device: str) -> TorchEngine:
    """The engine called so. "graphs" is the service's own, "eager" the same without CUDA graphs."""
    makers: dict[str, Callable[[str], TorchEngine]] = {"graphs": _own, "eager": _eager, "tuned": _tuned}
    if name == "bordered":
        from benchmarks.gpu.candidates.bordered import BorderedEngine

        makers[name] = lambda device: BorderedEngine(device, limits=WHOLE)
    elif name == "compiled":
        from benchmarks.gpu.candidates.compiled import CompiledEngine

        makers[name] = lambda device: CompiledEngine(device, limits=WHOLE)
    elif name == "implicit":
        from benchmarks.gpu.candidates.implicit import ImplicitEngine

        makers[name] = lambda device: ImplicitEngine(device, limits=WHOLE)
    return makers[name](device)


def _own(device: str) -> TorchEngine:
    return TorchEngine(device, limits=WHOLE)


def _eager(device: str) -> TorchEngine:
    engine = _own(device)
    engine._graphs = None
    return engine


def _tuned(device: str) -> TorchEngine:
    """cuDNN tries its kernels on each shape that is new, in place of guessing which is fastest."""
    torch.backends.cudnn.benchmark = True
    return _own(device)
