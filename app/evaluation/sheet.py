"""Contact sheets: contents across, styles down, and what came of each pair."""

from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from app.evaluation.pictures import read_squares
from app.images.encode import encode

GAP: Final = 4


class ContactSheet:
    """Collects the results of the first `limit` contents in the first `limit` styles, in cells of `cell` pixels."""

    def __init__(self, contents: list[Path], styles: list[Path], limit: int, cell: int) -> None:
        self._contents = contents[:limit]
        self._styles = styles[:limit]
        self._cell = cell
        self._results: dict[tuple[int, int], Tensor] = {}

    def add(self, content: int, style: int, picture: Tensor) -> None:
        """Take RGB (3, S, S) in [0, 1] of a pair by its numbers; style -1 is strength 0."""
        if content < len(self._contents) and style < len(self._styles):
            self._results[content, style] = self._thumbnail(picture[None].cpu())

    def picture(self) -> Tensor:
        """RGB (3, H, W) in [0, 1]: a row of contents, a row at strength 0 if there are any, a row for each style."""
        cell, gap = self._cell, GAP
        white = torch.ones(1, 3, cell, cell)
        rows = [[white, *(self._thumbnail(read_squares([path], cell)) for path in self._contents)]]
        for style in range(-1, len(self._styles)):
            results = [self._results.get((content, style), white) for content in range(len(self._contents))]
            if style < 0 and not any((content, -1) in self._results for content in range(len(self._contents))):
                continue
            head = white if style < 0 else self._thumbnail(read_squares([self._styles[style]], cell))
            rows.append([head, *results])
        padded = [torch.cat([F.pad(c, (0, gap, 0, gap), value=1.0) for c in row], 3) for row in rows]
        return torch.cat(padded, 2)[0]

    def png(self) -> bytes:
        pixels = (self.picture().permute(1, 2, 0) * 255).round().to(torch.uint8)
        return encode(pixels.contiguous().numpy(), None, "png", 100)

    def _thumbnail(self, picture: Tensor) -> Tensor:
        if picture.shape[-1] == self._cell:
            return picture
        return F.interpolate(picture, (self._cell, self._cell), mode="bilinear", antialias=True).clamp(0, 1)
