"""Transfers and recorded runs on the CPU, where recording is made up and everything around it is real."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from app.engine.cuda import USES_BEFORE_A_GRAPH, Recorded, Run, Transfers
from tests.engine.engines import differences, engine, job
from tests.pictures import photo


class Recorder:
    """In CUDA's place: says which shapes were recorded and replayed."""

    def __init__(self, out_of_memory_at: int = -1) -> None:
        self.recorded: list[int] = []
        self.replayed: list[int] = []
        self._out_of_memory_at = out_of_memory_at

    def __call__(self, run: Run, example: Tensor, beside: object = None) -> Run:
        if len(example) == self._out_of_memory_at:
            raise torch.OutOfMemoryError("as a GPU would")
        self.recorded.append(len(example))

        def replay(batch: Tensor) -> Tensor:
            assert batch.shape == example.shape
            self.replayed.append(len(batch))
            return run(batch)

        return replay


def doubled(batch: Tensor) -> Tensor:
    return batch * 2


def use(recorded: Callable[[Tensor], Tensor], length: int, times: int = 1) -> None:
    for _ in range(times):
        assert recorded(torch.full((length,), 3)).tolist() == [6] * length


def test_a_shape_is_recorded_once_it_came_a_few_times() -> None:
    recorder = Recorder()
    recorded = Recorded(doubled, recorder)
    use(recorded, 5, USES_BEFORE_A_GRAPH - 1)
    assert recorder.recorded == []
    use(recorded, 5, 3)
    assert recorder.recorded == [5]
    assert recorder.replayed == [5, 5, 5]


def test_only_the_shapes_used_last_stay_recorded() -> None:
    recorder = Recorder()
    recorded = Recorded(doubled, recorder, most=2)
    for length in (1, 2, 1, 3):
        use(recorded, length, USES_BEFORE_A_GRAPH)
    assert recorder.recorded == [1, 2, 3]
    use(recorded, 1)
    assert recorder.recorded == [1, 2, 3], "1 was used after 2, so 2 had to go"
    use(recorded, 2)
    assert recorder.recorded == [1, 2, 3, 2]


def test_without_memory_to_record_in_shapes_run_as_before() -> None:
    recorder = Recorder(out_of_memory_at=4)
    recorded = Recorded(doubled, recorder)
    use(recorded, 3, USES_BEFORE_A_GRAPH)
    use(recorded, 4, USES_BEFORE_A_GRAPH + 2)
    assert recorder.recorded == [3]
    use(recorded, 3, USES_BEFORE_A_GRAPH)
    assert recorder.recorded == [3, 3], "what was recorded made room, and comes again"


def test_arrays_go_to_the_cpu_and_back_unchanged() -> None:
    arrays = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    transfers = Transfers(torch.device("cpu"))
    assert (transfers.download(transfers.upload(list(arrays)))() == arrays).all()


def test_a_batch_in_parts_is_the_batch_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [job(photo(name, 96), strength=0.8) for name in ("astronaut", "chelsea", "rocket")]
    whole = engine("torch").stylize(jobs)
    monkeypatch.setattr("app.engine.torch.PART_PIXELS", 2 * 96 * 96)
    for result, wanted in zip(engine("torch").stylize(jobs), whole, strict=True):
        assert differences(result, wanted).max() <= 1
