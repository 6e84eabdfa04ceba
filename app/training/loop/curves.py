"""Curves and grids of pictures for TensorBoard."""

import logging
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from app.training.errors import TrainingError

logging.getLogger("tensorboard").setLevel(logging.ERROR)


class Curves:
    """Writes to `folder`; what an earlier run wrote from `step` on is hidden, so that a resumed curve is one line."""

    def __init__(self, folder: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise TrainingError(
                "tensorboard is not installed; install what training needs: pip install 'impasto[train]'"
            ) from None
        self._folder = folder
        self._writer = SummaryWriter(folder, purge_step=step or None)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """One point of each curve. Raises TrainingError when the disk does not take it."""
        for name, value in values.items():
            self._write("add_scalar", name, value, step)

    def show(self, step: int, name: str, picture: Tensor) -> None:
        """One picture, RGB (3, H, W) in [0, 1]."""
        self._write("add_image", name, picture, step)

    def close(self) -> None:
        self._write("close")

    def _write(self, method: str, *values: object) -> None:
        try:
            getattr(self._writer, method)(*values)
        except OSError as error:
            raise TrainingError(
                f"{self._folder}: cannot be written ({error.strerror or error}); free some space"
            ) from None
