"""The training loop: from pictures to a decoder file, stopping and going on as if it had not stopped."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import safetensors.torch
import torch
from torch import Generator, Tensor
from tqdm import tqdm

from app.cores import available_cores
from app.network.decoder import Decoder
from app.training import checkpoint
from app.training.crops import PHOTOS_AS_STYLES, Crops, seed_of, stream
from app.training.curves import Curves
from app.training.data import Splits
from app.training.encoders import TapEncoder
from app.training.errors import TrainingError
from app.training.options import TrainingOptions
from app.training.pool import Batch, Encoded, Originals, Pairs, Pool
from app.training.schedule import Phase, learning_rate, phases, revives
from app.training.trainer import NonFinite, Trainer
from app.training.validation import Validation

CHECKPOINT: Final = "checkpoint.safetensors"
DECODER: Final = "decoder.safetensors"
BEST: Final = "decoder-best.safetensors"
# Before the first step of a phase the pool gets as many batches of crops as this.
FILLED_WITH: Final = 2


@dataclass
class _Interval:
    """What happened since the last point of the curves."""

    since: float = field(default_factory=time.perf_counter)
    values: dict[str, list[float]] = field(default_factory=dict)
    images: int = 0
    waited: float = 0.0

    def point(self) -> dict[str, float]:
        seconds = time.perf_counter() - self.since
        means = {f"loss/{name}": fmean(values) for name, values in self.values.items()}
        speed = {"speed/images_per_second": self.images / seconds, "speed/busy": 1 - self.waited / seconds}
        return means | speed


class Run:
    """One training, in the folder `out`.

    After `run`, `out` holds decoder.safetensors (the moving average, which the service loads as it is),
    decoder-best.safetensors (the same where validation was best), checkpoint.safetensors and TensorBoard's log.
    """

    def __init__(
        self,
        options: TrainingOptions,
        content: Splits,
        style: Splits,
        encoder: TapEncoder,
        decoder: Decoder,
        device: torch.device,
        out: Path,
    ) -> None:
        self.options = options
        self.out = out
        self.content = content
        self.style = style
        self.decoder_path = out / DECODER
        self.step = 0
        self.best = float("inf")
        self.trainer = Trainer(options, encoder, decoder, device)
        side = max(phase.size for phase in phases(options))
        self.validation = Validation(self.trainer, content.val, style.val, side)
        workers = options.workers
        self._workers = min(8, available_cores() // 2) if workers is None else workers

    def resume(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take up what a checkpoint holds. Raises TrainingError when it is of other networks."""
        self.trainer.load(tensors)
        self.step = int(facts["step"])
        self.best = float(facts["best"] or "inf")

    def run(self, stopped: Callable[[], bool], show_bar: bool = True) -> None:
        """Train to the last step, or until `stopped` says so after one, and save.

        Raises TrainingError when the disk is full or a loss is not finite; what was saved before is whole.
        """
        curves = Curves(self.out / "log", self.step)
        interval = _Interval()
        bar = tqdm(
            total=self.options.steps,
            initial=self.step,
            unit="step",
            disable=not show_bar,
            smoothing=0.05,
            mininterval=1,
        )
        try:
            for phase, generator, batch, newest, waited in self._batches():
                interval.waited += waited
                if self.step == 0 and not self.options.decoder:
                    self.trainer.standardize(batch)
                self._advance(phase, generator, batch, newest, interval)
                if revives(self.options, self.step):
                    revived = self.trainer.revive(batch, seed_of(self.options.seed, "revive", self.step))
                    curves.add(self.step, {"weights/revived_channels": float(revived)})
                bar.update()
                if self.step % self.options.log_every == 0 or self.step == self.options.steps:
                    point = interval.point()
                    curves.add(self.step, point | {"speed/learning_rate": learning_rate(self.options, self.step - 1)})
                    bar.set_postfix_str(_line(point))
                    interval = _Interval()
                if self.step % self.options.validate_every == 0 or self.step == self.options.steps:
                    self._validate(curves, bar)
                    interval.since = time.perf_counter()
                if stopped():
                    break
                if self.step % self.options.save_every == 0:
                    self.save()
            self.save()
        finally:
            bar.close()
            curves.close()

    def save(self) -> None:
        """Write the checkpoint and the decoder, each whole or not at all. Raises TrainingError on a full disk."""
        facts = {
            "step": self.step,
            "best": self.best if self.best < float("inf") else None,
            "options": self.options.model_dump(mode="json"),
            "content": str(self.content.folder.resolve()),
            "style": str(self.style.folder.resolve()),
            "fingerprints": [self.content.fingerprint, self.style.fingerprint],
            "encoder_sha256": self.trainer.encoder.sha256,
        }
        checkpoint.write(self.decoder_path, self._decoder_file())
        checkpoint.save(self.out / CHECKPOINT, self.trainer.tensors(), facts)

    def _batches(self) -> Iterator[tuple[Phase, Generator, Batch | Pairs, Encoded, float]]:
        """For each step left: its batch, and the seconds waited for crops.

        Where a run begins, in the middle of a phase too, the pool is filled with what it would hold by then.
        """
        for phase in phases(self.options):
            if self.step >= phase.stop:
                continue
            held = max(self.options.pool, FILLED_WITH * phase.batch)
            pool = Originals(held, phase.fresh) if phase.inverts else Pool(held, phase.fresh, self.trainer.decoded)
            ahead = -(-FILLED_WITH * phase.batch // phase.fresh)
            last = ahead + self.step - phase.start
            first = max(0, last - pool.refreshes + 1)
            # A critic is to learn what paintings look like.
            photos = PHOTOS_AS_STYLES if self.options.adversarial == "none" else 0.0
            crops = Crops(self.content.train, self.style.train, phase.size, phase.fresh, self.options.seed, photos)
            stop = ahead + phase.stop - phase.start
            pin = self.trainer.device.type == "cuda"
            items = stream(crops, first, stop, self._workers, pin)
            for number in range(first, stop):
                since = time.perf_counter()
                contents, styles = next(items)
                waited = time.perf_counter() - since
                newest = self.trainer.encode(contents, styles)
                pool.add(newest)
                if number >= last:
                    generator = Generator().manual_seed(seed_of(self.options.seed, "step", self.step))
                    batch: Batch | Pairs
                    if isinstance(pool, Originals):
                        batch = pool.draw(phase.batch, generator)
                    else:
                        wished = int(phase.batch * self.options.identity_share + _draw(generator))
                        own = min(wished, phase.fresh, phase.batch - 1)
                        batch = pool.draw(newest, phase.batch, own, generator)
                    yield phase, generator, batch, newest, waited

    def _advance(
        self, phase: Phase, generator: Generator, batch: Batch | Pairs, newest: Encoded, interval: _Interval
    ) -> None:
        try:
            values = self.trainer.step(self.step, phase, newest, batch, generator)
        except NonFinite as fault:
            path = self.out / f"nonfinite-{self.step}.safetensors"
            tensors = {"contents": newest.contents, "features": batch.features, "wanted": batch.wanted}
            checkpoint.save(path, tensors, {"step": self.step, "losses": fault.losses})
            self.save()
            raise TrainingError(
                f"step {self.step}: a loss or gradient is not finite ({fault}); the batch is in {path}. "
                "Go on with --resume and a lower --learning-rate, or --precision float32"
            ) from None
        self.step += 1
        interval.images += phase.batch
        for name, value in values.items():
            interval.values.setdefault(name, []).append(float(value))

    def _validate(self, curves: Curves, bar: "tqdm[Any]") -> None:
        result = self.validation.run()
        if result is None:
            return
        scores, sheet = result
        curves.add(self.step, scores)
        curves.show(self.step, "validation", sheet)
        bar.write(f"step {self.step}: validation " + ", ".join(f"{name[4:]} {v:.3f}" for name, v in scores.items()))
        total = self.options.content_weight * scores["val/content"] + self.options.style_weight * scores["val/style"]
        if total < self.best:
            self.best = total
            checkpoint.write(self.out / BEST, self._decoder_file())

    def _decoder_file(self) -> bytes:
        decoder = self.trainer.average
        metadata = {
            "upsample_after": ",".join(map(str, sorted(decoder.upsample_after))),
            "padding": "reflect",
            "encoder": self.options.encoder,
            "encoder_sha256": self.trainer.encoder.sha256,
            "steps": str(self.step),
        }
        tensors = {name: tensor.cpu().contiguous() for name, tensor in decoder.state_dict().items()}
        return safetensors.torch.save(tensors, metadata)


def _draw(generator: Generator) -> float:
    return float(torch.rand((), generator=generator))


def _line(point: dict[str, float]) -> str:
    shown = {name: point[f"loss/{name}"] for name in ("content", "style", "identity") if f"loss/{name}" in point}
    losses = " ".join(f"{name} {value:.3g}" for name, value in shown.items())
    return f"{losses}, {point['speed/images_per_second']:.1f} images/s, busy {point['speed/busy']:.0%}"
