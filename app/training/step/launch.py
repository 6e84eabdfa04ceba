"""How a device is told to take a step: at once, or by a CUDA graph that was recorded of one."""

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch

from app.training.data.pool import Table
from app.training.step.program import Choice, Program

logger = logging.getLogger("impasto.training")

# Steps taken as they are before one is recorded, in which libraries choose their algorithms and states begin.
TAKEN_FIRST: Final = 3
# Steps told before they are done: enough that a GPU never waits, few enough that a run can be stopped.
AHEAD: Final = 2


class Launcher:
    """Takes a program's steps. On a GPU each is one launch, once a few were taken: a step is hundreds of kernels.

    Where a step cannot be recorded or compiled, a warning says so, and steps are taken as they are.
    """

    def __init__(self, program: Program, recorded: bool) -> None:
        self._program = program
        self._trainer = program.trainer
        self._recorded = recorded and program.trainer.device.type == "cuda"
        self._shapes: dict[tuple[object, ...], _Shape] = {}
        self._told: deque[Any] = deque()

    def take(self, choice: Choice) -> None:
        """Tell the device to take a step. Raises NonFinite as `Trainer.step` does."""
        on_cpu = self._trainer.device.type == "cpu"
        self._trainer.settle(self._run(choice.table, choice.own) if on_cpu else self._on_gpu(choice))

    def _on_gpu(self, choice: Choice) -> tuple[str, ...]:
        while len(self._told) >= AHEAD:
            self._told.popleft().synchronize()
        key = (choice.own, *((name, tensor.shape) for name, tensor in choice.table.items()))
        shape = self._shapes.get(key)
        if shape is None:
            shape = self._shapes[key] = _Shape(choice.table, self._trainer.device)
        table = shape.filled(choice.table)
        if shape.graph is None and self._recorded and shape.taken >= TAKEN_FIRST:
            self._record(shape, table, choice.own)
        if shape.graph is not None:
            shape.graph.replay()
        else:
            shape.names = self._run(table, choice.own)
        shape.taken += 1
        told = torch.cuda.Event()  # type: ignore[no-untyped-call]
        told.record()
        self._told.append(told)
        return shape.names

    def _run(self, table: Table, own: int) -> tuple[str, ...]:
        try:
            return tuple(self._program.run(table, own))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            if not self._trainer.fused:
                raise
            # Nothing has changed but the pool, which gets the same once more.
            logger.warning("torch cannot compile the networks here (%s): they run as they are", _first_line(error))
            self._trainer.fuse(False)
            return tuple(self._program.run(table, own))

    def _record(self, shape: "_Shape", table: Table, own: int) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            # Threads that read pictures may do as they like meanwhile.
            with torch.cuda.graph(graph, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"):
                self._program.run(table, own)
        except RuntimeError as error:
            logger.warning("a step cannot be recorded (%s): steps are taken as they are", _first_line(error))
            self._recorded = False
            torch.cuda.synchronize()
        else:
            shape.graph = graph


class _Shape:
    """What is known of steps whose tables have the same shapes: where on the GPU these lie, and the graph of one."""

    def __init__(self, table: Table, device: torch.device) -> None:
        self.taken = 0
        self.names: tuple[str, ...] = ()
        self.graph: Any = None
        whole = {name: tensor for name, tensor in table.items() if not tensor.is_floating_point()}
        self._kinds = (whole, {name: tensor for name, tensor in table.items() if tensor.is_floating_point()})
        self._buffers = [torch.cat([t.flatten() for t in kind.values()]).to(device) for kind in self._kinds]
        self._table = {
            name: part.view(tensor.shape)
            for kind, buffer in zip(self._kinds, self._buffers, strict=True)
            for (name, tensor), part in zip(
                kind.items(), torch.split(buffer, [tensor.numel() for tensor in kind.values()]), strict=True
            )
        }

    def filled(self, table: Table) -> Table:
        """A table of these shapes, on the GPU, always in the same place."""
        for kind, buffer in zip(self._kinds, self._buffers, strict=True):
            host = torch.cat([table[name].flatten() for name in kind]).pin_memory()
            buffer.copy_(host, non_blocking=True)
        return self._table


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """On a GPU, a stream for all that is inside: a graph can be recorded on any but the one that all share."""
    if device.type != "cuda":
        yield
        return
    with torch.cuda.device(device):
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):
            yield
        torch.cuda.current_stream(device).wait_stream(stream)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
