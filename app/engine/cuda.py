"""What a GPU gains from: transfers beside the arithmetic, and launches recorded once for shapes that come often.

On a CPU uploads and downloads are views, and nothing is recorded.
"""

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.engine.faults import first_line, out_of_memory

logger = logging.getLogger("impasto.engine")

GRAPHS: Final = 32  # they lie over one another in memory: all take what the largest takes, and their inputs and outputs
USES_BEFORE_A_GRAPH: Final = 3
COUNTED_SHAPES: Final = 1024

Run = Callable[..., Tensor]  # of tensors


class Transfers:
    """Arrays to a device and back, over pinned memory and on streams of their own.

    Pinned memory is torch's to keep: what was let go of is used again once its transfer is over.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._streams = device.type == "cuda"
        if self._streams:
            self._up = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._down = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def upload(self, arrays: Sequence[NDArray[Any]]) -> Tensor:
        """Arrays of one shape, stacked on the device, for use on the current stream."""
        if not self._streams:
            return torch.from_numpy(np.stack(arrays))
        dtype = torch.from_numpy(np.empty(0, arrays[0].dtype)).dtype
        host = torch.empty((len(arrays), *arrays[0].shape), dtype=dtype, pin_memory=True)
        np.stack(arrays, out=host.numpy())
        with torch.cuda.stream(self._up):
            tensor = host.to(self._device, non_blocking=True)
        stream = torch.cuda.current_stream(self._device)
        stream.wait_stream(self._up)
        tensor.record_stream(stream)
        return tensor

    def download(self, tensor: Tensor) -> Callable[[], NDArray[np.uint8]]:
        """Begin to copy what the current stream computes; the function given waits for it."""
        if not self._streams:
            return tensor.numpy
        self._down.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._down):
            host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            host.copy_(tensor, non_blocking=True)
            tensor.record_stream(self._down)
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record()

        def wait() -> NDArray[np.uint8]:
            copied.synchronize()
            array: NDArray[np.uint8] = host.numpy()
            return array

        return wait


class Graph:
    """`run`, recorded for inputs of the examples' shapes and replayed: one launch in place of hundreds.

    It computes in the memory of the graph `beside`: only one of them runs at a time.
    """

    def __init__(self, run: Run, *examples: Tensor, beside: "Graph | None" = None) -> None:
        self._inputs = [example.clone() for example in examples]
        self._graph = torch.cuda.CUDAGraph()
        pool = beside._graph.pool() if beside else None
        # Another thread's GPU may do as it likes meanwhile.
        with torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
            self._output = run(*self._inputs)

    def __call__(self, *inputs: Tensor) -> Tensor:
        for recorded, given in zip(self._inputs, inputs, strict=True):
            recorded.copy_(given)
        self._graph.replay()
        # The next replay writes where this one wrote.
        return self._output.clone()


class Recorded:
    """`run`, recorded by `capture` for inputs of shapes that came a few times, as many as `most` of the last used.

    Where there is no memory to record in, a shape runs as it did.
    """

    def __init__(self, run: Run, capture: Callable[..., Any] = Graph, most: int = GRAPHS) -> None:
        self._run = run
        self._capture = capture
        self._most = most
        self._uses: Counter[Any] = Counter()
        self._recorded: OrderedDict[Any, Any] = OrderedDict()
        self._possible = True

    def __call__(self, *inputs: Tensor) -> Tensor:
        shape = tuple(tensor.shape for tensor in inputs)
        if shape not in self._recorded:
            if len(self._uses) > COUNTED_SHAPES:
                self._uses.clear()
            self._uses[shape] += 1
            if self._uses[shape] < USES_BEFORE_A_GRAPH or not self._record(shape, inputs):
                return self._run(*inputs)
        self._recorded.move_to_end(shape)
        output: Tensor = self._recorded[shape](*inputs)
        return output

    def forget(self) -> None:
        """Give the memory back."""
        self._recorded.clear()
        self._uses.clear()

    def _record(self, shape: Any, inputs: tuple[Tensor, ...]) -> bool:
        if not self._possible:
            return False
        while len(self._recorded) >= self._most:
            self._recorded.popitem(last=False)
        beside = next(iter(self._recorded.values()), None)
        try:
            self._recorded[shape] = self._capture(self._run, *inputs, beside=beside)
        except RuntimeError as error:
            if inputs[0].is_cuda:
                torch.cuda.synchronize(inputs[0].device)  # a device that failed says so once more
            self.forget()
            if not out_of_memory(error):
                logger.warning("the network cannot be recorded here (%s): it runs slower", first_line(error))
                self._possible = False
            return False
        return True
