"""Validation while training: a few held-out pictures, always the same, under the moving average of the weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from app.evaluation.judge import DecoderMethod, judge
from app.evaluation.sheet import ContactSheet
from app.training.step.hooks import silent_channels
from app.training.step.trainer import Trainer

CONTENTS: Final = 6
STYLES: Final = 4
CELL: Final = 128


class Validation:
    """The first held-out pictures by hash; nothing is validated where a folder holds none back."""

    def __init__(self, trainer: Trainer, contents: Sequence[Path], styles: Sequence[Path], side: int) -> None:
        self._trainer = trainer
        self._contents = list(contents[:CONTENTS])
        self._styles = list(styles[:STYLES])
        self._side = side

    def run(self) -> tuple[dict[str, float], Tensor] | None:
        """Scores by the names of their curves, and a contact sheet, RGB (3, H, W)."""
        if not self._contents or not self._styles:
            return None
        sheet = ContactSheet(self._contents, self._styles, CONTENTS, CELL)
        with silent_channels(self._trainer.average) as silent:
            (scores,) = judge(
                self._trainer.encoder,
                [DecoderMethod("decoder", self._trainer.average)],
                self._contents,
                self._styles,
                self._side,
                self._trainer.device,
                lambda _, content, style, picture: sheet.add(content, style, picture),
            )
        values = {
            "val/content": scores.content_loss,
            "val/style": scores.style_loss,
            "val/edge_ssim": scores.edge_ssim,
            "val/grid": scores.grid,
            "val/reconstruction_psnr": scores.reconstruction_psnr or 0.0,
            "val/silent_channels": float(torch.cat(list(silent.values())).float().mean()),
        }
        return values, sheet.picture()
