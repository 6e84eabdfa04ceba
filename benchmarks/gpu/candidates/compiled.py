"""The network by torch.compile: convolutions of a library, and everything between two of them as one kernel.

Between two convolutions stand the bias, the ReLU, pooling or doubling, and the padding: each reads and writes a whole
layer once more when it is a kernel of its own. A shape takes tens of seconds to compile, and needs a C compiler.
"""

import torch

from app.engine.cuda import Recorded
from app.engine.torch import TorchEngine


class CompiledEngine(TorchEngine):
    """torch.compile for each shape, and a CUDA graph of it as ever."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        run = torch.compile(self._stylized, dynamic=False)
        if self._graphs:
            self._graphs = Recorded(run)
        else:
            self._stylized = run  # type: ignore[method-assign]
