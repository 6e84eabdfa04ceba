"""What a GPU gains from: transfers beside the arithmetic, and launches recorded once for shapes that come often.

On a CPU uploads and downloads are views, and nothing is recorded.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

GRAPHS: Final = 8  # of each network: a graph holds on to the memory of a whole run
USES_BEFORE_A_GRAPH: Final = 3
COUNTED_SHAPES: Final = 1024

Run = Callable[..., tuple[Tensor, ...]]  # of tensors


class Transfers:
    """uint8 arrays to a device and back, over pinned memory and on streams of their own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._streams = device.type == "cuda"
        if self._streams:
            self._up = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            self._down = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def upload(self, array: NDArray[np.uint8]) -> Tensor:
        """The array on the device, for use on the current stream."""
        host = torch.from_numpy(array)
        if not self._streams:
            return host
        with torch.cuda.stream(self._up):
            tensor = host.pin_memory().to(self._device, non_blocking=True)
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


def cuda_graph(run: Run, *examples: Tensor) -> Run:
    """`run`, recorded for inputs of the examples' shapes and replayed: one launch in place of a hundred."""
    static = [example.clone() for example in examples]
    device = examples[0].device
    warm_up = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    warm_up.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(warm_up):
        run(*static)
    torch.cuda.current_stream(device).wait_stream(warm_up)
    graph = torch.cuda.CUDAGraph()
    # Another thread's GPU may do as it likes meanwhile.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        outputs = run(*static)

    def replay(*inputs: Tensor) -> tuple[Tensor, ...]:
        for recorded, given in zip(static, inputs, strict=True):
            recorded.copy_(given)
        graph.replay()
        # The next replay writes where this one wrote.
        return tuple(output.clone() for output in outputs)

    return replay


class Recorded:
    """`run`, recorded by `capture` for inputs of shapes that came a few times, as many as `most` of the last used.

    Where there is no memory to record in, a shape runs as it did.
    """

    def __init__(self, run: Run, capture: Callable[..., Run] = cuda_graph, most: int = GRAPHS) -> None:
        self._run = run
        self._capture = capture
        self._most = most
        self._uses: Counter[Any] = Counter()
        self._recorded: OrderedDict[Any, Run] = OrderedDict()

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        shape = tuple(tensor.shape for tensor in inputs)
        if shape not in self._recorded:
            if len(self._uses) > COUNTED_SHAPES:
                self._uses.clear()
            self._uses[shape] += 1
            if self._uses[shape] < USES_BEFORE_A_GRAPH or not self._record(shape, inputs):
                return self._run(*inputs)
        self._recorded.move_to_end(shape)
        return self._recorded[shape](*inputs)

    def forget(self) -> None:
        """Give the memory back."""
        self._recorded.clear()
        self._uses.clear()

    def _record(self, shape: Any, inputs: tuple[Tensor, ...]) -> bool:
        while len(self._recorded) >= self._most:
            self._recorded.popitem(last=False)
        try:
            self._recorded[shape] = self._capture(self._run, *inputs)
        except torch.OutOfMemoryError:
            self.forget()
            return False
        return True
