"""Judge decoders, or another program's results, on every content in every style."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Final, Protocol

import torch
from torch import Tensor

from app.evaluation import metrics
from app.evaluation.colours import colour_distance, colour_statistics
from app.evaluation.encoders import TapEncoder
from app.evaluation.errors import EvaluationError
from app.evaluation.pictures import read_squares
from app.images.sniff import PICTURE_SUFFIXES
from app.network.adain import adain
from app.network.decoder import Decoder
from app.network.layout import FEATURES

CHUNK: Final = 8


@dataclass(frozen=True)
class Scores:
    """Means over all pairs; `reconstruction_psnr`, in dB, over contents at strength 0, None where nobody gave those.

    `content_loss` at relu4_1 against the AdaIN target, `style_loss` over four taps, as the losses of training;
    `edge_ssim` against the content; `grid` is the root mean square of what repeats every 8 pixels, in levels of 255;
    `colour_distance` as in `app.evaluation.colours`.
    """

    method: str
    pairs: int
    content_loss: float
    style_loss: float
    edge_ssim: float
    grid: float
    reconstruction_psnr: float | None
    colour_distance: float


@dataclass(frozen=True, eq=False)
class Style:
    """A picture to take the style of: its relu4_1 (1, 512, h, w), the statistics (1, 2, C) of its taps, its colours'.

    `name` is the file's, without the suffix.
    """

    name: str
    features: Tensor
    statistics: Tensor
    colours: Tensor

    @classmethod
    def of(cls, name: str, picture: Tensor, encoder: TapEncoder) -> "Style":
        """`picture`: RGB (1, 3, H, W) in [0, 1]."""
        taps = encoder.taps(picture)
        return cls(name, taps[-1], metrics.statistics(taps), colour_statistics(picture))

    def on(self, features: Tensor, gain: float | None = None) -> Tensor:
        """The AdaIN target for contents' relu4_1 (N, 512, h, w)."""
        mean, std = self.statistics[:, :, -FEATURES:, None, None].unbind(1)
        return adain(features, mean, std, gain)


class Method(Protocol):
    """Whatever repaints a picture."""

    name: str

    def results(self, contents: Sequence[Path], features: Tensor, style: Style) -> Tensor:
        """RGB (N, 3, S, S) in [0, 1] for some contents, whose relu4_1 (N, 512, h, w) is given, in one style."""

    def reconstructions(self, contents: Sequence[Path], features: Tensor) -> Tensor | None:
        """The same at strength 0, from relu4_1; None if there are none."""


class DecoderMethod:
    """A decoder of ours. Results are rounded to 8 bits, as files are."""

    def __init__(self, name: str, decoder: Decoder) -> None:
        self.name = name
        self.decoder = decoder
        self._decoded: dict[Style, Tensor] = {}

    def results(self, contents: Sequence[Path], features: Tensor, style: Style) -> Tensor:
        if style not in self._decoded:
            self._decoded[style] = self.decoder.statistics(style.features)
        target = style.on(features, self.decoder.adain_gain)
        return _shown(self.decoder(target, self._decoded[style][:, None]))

    def reconstructions(self, contents: Sequence[Path], features: Tensor) -> Tensor | None:
        return _shown(self.decoder(features))


class FolderMethod:
    """Another program's results: files CONTENT-STYLE.png (or another format), and CONTENT.png for strength 0.

    CONTENT and STYLE are the names of the pictures without their suffix.
    """

    def __init__(self, name: str, folder: Path, side: int) -> None:
        self.name = name
        self._folder = folder
        self._side = side
        self._files = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in PICTURE_SUFFIXES}

    def require(self, contents: Sequence[Path], styles: Sequence[Path]) -> None:
        """Raises EvaluationError when a pair has no result."""
        missing = [name for c in contents for s in styles if (name := f"{c.stem}-{s.stem}") not in self._files]
        if missing:
            raise EvaluationError(
                f"{self._folder}: {len(missing)} of {len(contents) * len(styles)} pairs have no result; "
                f"expected {missing[0]}.png and so on, as `impasto stylize` names them"
            )

    def results(self, contents: Sequence[Path], features: Tensor, style: Style) -> Tensor:
        return self._read([f"{content.stem}-{style.name}" for content in contents], features)

    def reconstructions(self, contents: Sequence[Path], features: Tensor) -> Tensor | None:
        names = [content.stem for content in contents]
        return self._read(names, features) if all(name in self._files for name in names) else None

    def _read(self, names: Sequence[str], like: Tensor) -> Tensor:
        return read_squares([self._files[name] for name in names], self._side).to(like.device)


class Unstyled:
    """The photo itself, for scale: the least one can do for content, and nothing for style."""

    name = "(the photo itself)"

    def __init__(self, side: int) -> None:
        self._side = side

    def results(self, contents: Sequence[Path], features: Tensor, style: Style) -> Tensor:
        return read_squares(contents, self._side).to(features.device)

    def reconstructions(self, contents: Sequence[Path], features: Tensor) -> Tensor | None:
        return None


class _Sums:
    def __init__(self) -> None:
        self.content: list[float] = []
        self.style: list[float] = []
        self.edges: list[float] = []
        self.grid: list[float] = []
        self.psnr: list[float] = []
        self.colours: list[float] = []


@torch.inference_mode()
def judge(
    encoder: TapEncoder,
    methods: Sequence[Method],
    contents: Sequence[Path],
    styles: Sequence[Path],
    side: int,
    device: torch.device,
    seen: Callable[[str, int, int, Tensor], None] | None = None,
    progress: Callable[[int], object] | None = None,
) -> list[Scores]:
    """Every content with every style at `side` x `side` pixels, by each method.

    `seen(method, content, style, picture)` gets each result as it comes, -1 for the style at strength 0;
    `progress` the number of results done. Raises EvaluationError for a picture that cannot be read.
    """
    sums = [_Sums() for _ in methods]
    encoded = [Style.of(path.stem, read_squares([path], side).to(device), encoder) for path in styles]
    for start in range(0, len(contents), CHUNK):
        chunk = contents[start : start + CHUNK]
        pictures = read_squares(chunk, side).to(device)
        features = encoder.taps(pictures)[-1]
        for method, taken in zip(methods, sums, strict=True):
            again = method.reconstructions(chunk, features)
            if again is not None:
                taken.psnr += metrics.psnr(again, pictures).tolist()
                _show(seen, method, start, -1, again)
        for number, style in enumerate(encoded):
            # Of any gain, so that scores compare whatever a decoder's is held to.
            target = style.on(features)
            for method, taken in zip(methods, sums, strict=True):
                results = method.results(chunk, features, style)
                taps = encoder.taps(results)
                for i, channels in enumerate(metrics.statistics(taps)):
                    taken.content.append(float(metrics.content_loss(taps[-1][i], target[i])))
                    taken.style.append(float(metrics.style_loss(channels[None], style.statistics, encoder.channels)))
                taken.edges += metrics.edge_ssim(results, pictures).tolist()
                taken.grid += metrics.grid(results).sqrt().mul(255).tolist()
                taken.colours += colour_distance(colour_statistics(results), style.colours).tolist()
                _show(seen, method, start, number, results)
                if progress:
                    progress(len(chunk))
    return [
        Scores(
            method.name,
            len(taken.content),
            fmean(taken.content),
            fmean(taken.style),
            fmean(taken.edges),
            fmean(taken.grid),
            fmean(taken.psnr) if taken.psnr else None,
            fmean(taken.colours),
        )
        for method, taken in zip(methods, sums, strict=True)
    ]


def table(scores: Sequence[Scores]) -> str:
    """Scores as lines of text."""
    width = max(len(row.method) for row in scores)
    lines = [f"{'':{width}}  pairs  content loss  style loss  edge SSIM   grid  reconstruction  colours"]
    for row in scores:
        again = "-" if row.reconstruction_psnr is None else f"{row.reconstruction_psnr:.2f} dB"
        lines.append(
            f"{row.method:{width}}  {row.pairs:5d}  {row.content_loss:12.3f}  {row.style_loss:10.3f}"
            f"  {row.edge_ssim:9.3f}  {row.grid:5.2f}  {again:>14}  {row.colour_distance:7.1f}"
        )
    return "\n".join(lines)


def as_json(scores: Sequence[Scores]) -> list[dict[str, object]]:
    return [asdict(row) for row in scores]


def _shown(result: Tensor) -> Tensor:
    return (result.clamp(0, 1) * 255).round() / 255


def _show(
    seen: Callable[[str, int, int, Tensor], None] | None, method: Method, start: int, style: int, results: Tensor
) -> None:
    if seen:
        for i, result in enumerate(results):
            seen(method.name, start + i, style, result)
