"""The training loop: from pictures to a decoder file, stopping and going on as if it had not stopped."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import safetensors.torch
import torch
from torch import Tensor
from tqdm import tqdm

from app.cores import available_cores
from app.evaluation.encoders import TapEncoder
from app.network.decoder import Decoder
from app.training import checkpoint
from app.training.data.drawn import COUNT, drawn
from app.training.data.seeds import seed_of
from app.training.data.shelf import Shelf
from app.training.data.splits import Source, Splits
from app.training.errors import TrainingError
from app.training.loop.curves import Curves
from app.training.loop.validation import Validation
from app.training.options import TrainingOptions
from app.training.schedule import Course, Minutes, Steps, learning_rate, phases, revives
from app.training.step.launch import Launcher, own_stream
from app.training.step.program import Choice, Program, moved, refill
from app.training.step.trainer import NonFinite, Trainer

CHECKPOINT: Final = "checkpoint.safetensors"
DECODER: Final = "decoder.safetensors"
BEST: Final = "decoder-best.safetensors"
# Pictures are kept at so many pixels of their long side, or at twice the side of the largest crops.
READ_AT: Final = 640
PICTURE_MEMORY: Final = 2 * 2**30
PART_OF_A_GPU: Final = 0.25


class _Interval:
    """What happened since the last point of the curves."""

    def __init__(self) -> None:
        self.since = time.perf_counter()
        self.images = 0
        self.waited = 0.0

    def point(self, means: dict[str, float]) -> dict[str, float]:
        seconds = time.perf_counter() - self.since
        losses = {f"loss/{name}": value for name, value in means.items()}
        return losses | {"speed/images_per_second": self.images / seconds, "speed/busy": 1 - self.waited / seconds}


class Run:
    """One training, in the folder `out`.

    After `run`, `out` holds decoder.safetensors (the moving average, which the service loads as it is),
    decoder-best.safetensors (the same where validation was best), checkpoint.safetensors and TensorBoard's log.
    `since`, on the monotonic clock, is when the time began that `minutes` bound.
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
        since: float | None = None,
    ) -> None:
        self.options = options
        self.out = out
        self.content = content
        self.style = style
        self.decoder_path = out / DECODER
        self.step = 0
        self.best = float("inf")
        self.trainer = Trainer(options, encoder, decoder, device)
        self.trainer.fuse(options.launch == "compiled")
        self.largest = max(phase.size for phase in phases(options))
        self.validation = Validation(self.trainer, content.val, style.val, self.largest)
        self._since = time.monotonic() if since is None else since
        self._seconds = self._done = 0.0
        self._turned = self._logged = 0
        self._interval = _Interval()
        self._longest: dict[str, float] = {}

    def resume(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take up what a checkpoint holds. Raises TrainingError when it is of other networks."""
        self.trainer.load(tensors)
        self.step = int(facts["step"])
        self.best = float(facts["best"] or "inf")
        # Checkpoints of before there was --minutes don't have these.
        self._seconds = float(facts.get("seconds", 0))
        self._done = float(facts.get("progress", 0))
        self._turned = int(facts.get("turned", 0))

    @property
    def finished(self) -> bool:
        """Whether the last step was taken."""
        return self._done >= 1

    def run(self, stopped: Callable[[], bool], show_bar: bool = True) -> None:
        """Train to the end, or until `stopped` says so after a step, and save.

        Raises TrainingError when the disk is full or a loss is not finite; what was saved before is whole.
        """
        self._course = self._begun()
        self._logged = self.step
        with (
            own_stream(self.trainer.device),
            closing(Curves(self.out / "log", self.step)) as curves,
            tqdm(
                total=None if self.options.minutes else self.options.steps,
                initial=self.step,
                unit="step",
                disable=not show_bar,
                smoothing=0.05,
                mininterval=1,
            ) as bar,
        ):
            self._train(stopped, curves, bar)

    def _train(self, stopped: Callable[[], bool], curves: Curves, bar: "tqdm[Any]") -> None:
        if self.options.minutes:
            # How long the end of the run will take has to be known before the first step.
            self._validate(curves, bar)
            self.save()
        began = self.step
        for program, launcher, rate in self._programs(bar):
            since = time.perf_counter()
            choice = program.choose(self.step, rate)
            self._interval.waited += time.perf_counter() - since
            if self.step == 0 and not self.options.decoder:
                table = moved(choice.table, self.trainer.device)
                program.add(table)
                self.trainer.standardize(program.batch(table, choice.own))
            with self._taking("step"):
                self._advance(program, launcher, choice)
            self._done = self._course.progress(self.step)
            if revives(self.options, self.step, self._done):
                batch = program.batch(moved(choice.table, self.trainer.device), choice.own)
                revived = self.trainer.revive(batch, seed_of(self.options.seed, "revive", self.step))
                curves.add(self.step, {"weights/revived_channels": float(revived)})
            bar.update()
            if self.step % self.options.log_every == 0:
                self._log(curves, bar, rate)
            if self.finished:
                continue
            if self.step % self.options.validate_every == 0:
                self._validate(curves, bar)
            if stopped():
                break
            if self.step % self.options.save_every == 0:
                self.save()
        else:
            if self.step == began:
                raise TrainingError("--minutes: there was no time for a step; give more of them")
            self._done = 1.0
            self._log(curves, bar, rate)
            self._validate(curves, bar)
        self.save()

    def save(self) -> None:
        """Write the checkpoint and the decoder, each whole or not at all. Raises TrainingError on a full disk."""
        facts = {
            "step": self.step,
            "best": self.best if self.best < float("inf") else None,
            "options": self.options.json(),
            "content": str(self.content.folder.resolve()),
            "style": str(self.style.folder.resolve()),
            "fingerprints": [self.content.fingerprint, self.style.fingerprint],
            "encoder_sha256": self.trainer.encoder.sha256,
            "progress": self._done,
            "seconds": self._seconds + time.monotonic() - self._since,
            "turned": self._turned,
        }
        with self._taking("save"):
            checkpoint.write(self.decoder_path, self._decoder_file())
            checkpoint.save(self.out / CHECKPOINT, self.trainer.tensors(), facts)

    @contextmanager
    def _taking(self, what: str) -> Iterator[None]:
        """Notes the longest time something took: a run of so many minutes ends with one of each."""
        since = time.perf_counter()
        yield
        self._longest[what] = max(self._longest.get(what, 0.0), time.perf_counter() - since)
        self._course.ended(sum(self._longest.values()))

    def _begun(self) -> Course:
        if not self.options.minutes:
            return Steps(self.options.steps)
        whole = 60 * self.options.minutes
        # Of a run that was to take less time, less is over now.
        done = min(self._done, self._seconds / whole)
        return Minutes(whole - self._seconds, self._since, done, time.monotonic)

    def _programs(self, bar: "tqdm[Any]") -> Iterator[tuple[Program, Launcher, float]]:
        """For each step to come: its program, what launches it, and its learning rate."""
        shelf = None
        for phase in phases(self.options):
            if self._course.over(self.step, phase):
                continue
            first = self._course.first_step(phase)
            if shelf is None:
                # The pool is filled with what it would hold, so pictures begin where they were when that was made.
                again = len(refill(self.options, phase, first, self.step)) if self.step > first else 0
                shelf = self._shelf(max(0, self._turned - phase.fresh * again))
                bar.write(shelf.summary(), file=sys.stderr)
                self._interval = _Interval()
            program = Program(self.trainer, phase, shelf, first, self.step)
            launcher = Launcher(program, self.options.launch != "plain")
            while not self._course.over(self.step, phase):
                yield program, launcher, learning_rate(self.options, self.step, self._course.progress(self.step))
                self._turned = shelf.turned

    def _shelf(self, turned: int) -> Shelf:
        options, device = self.options, self.trainer.device
        memory = options.picture_memory
        if memory is None:
            gpu = device.type == "cuda"
            memory = int(PART_OF_A_GPU * torch.cuda.mem_get_info(device)[1]) if gpu else PICTURE_MEMORY
        read_at = max(READ_AT, 2 * self.largest)
        groups: list[Sequence[Source]] = [self.content.train, self.style.train]
        if options.drawn:
            groups.append(drawn(COUNT, options.seed))
        threads = options.workers or available_cores()
        return Shelf(groups, read_at, memory, device, threads, seed_of(options.seed, "shelf"), turned)

    def _advance(self, program: Program, launcher: Launcher, choice: Choice) -> None:
        try:
            launcher.take(choice)
        except NonFinite as fault:
            path = self.out / f"nonfinite-{self.step}.safetensors"
            batch = program.batch(choice.table, choice.own)
            tensors = {"features": batch.features, "wanted": batch.wanted}
            checkpoint.save(path, tensors, {"step": self.step, "losses": fault.losses})
            self._stop(fault, f"; the batch is in {path}")
        self.step += 1
        self._interval.images += program.phase.batch

    def _stop(self, fault: NonFinite, more: str = "") -> None:
        self.save()
        raise TrainingError(
            f"step {self.step}: a loss or gradient is not finite ({fault}){more}. "
            "Go on with --resume and a lower --learning-rate, or --precision float32"
        ) from None

    def _log(self, curves: Curves, bar: "tqdm[Any]", rate: float) -> None:
        if not self._interval.images:
            return
        try:
            means = self.trainer.means()
        except NonFinite as fault:
            # A GPU says so late; it has left the weights alone since.
            self.step = self._logged + fault.taken
            self._stop(fault)
        point = self._interval.point(means)
        curves.add(self.step, point | {"speed/learning_rate": rate})
        bar.set_postfix_str(_line(point))
        self._interval = _Interval()
        self._logged = self.step

    def _validate(self, curves: Curves, bar: "tqdm[Any]") -> None:
        since = time.perf_counter()
        with self._taking("validation"):
            result = self.validation.run()
        self._interval.since += time.perf_counter() - since
        if result is None:
            return
        scores, sheet = result
        curves.add(self.step, scores)
        curves.show(self.step, "validation", sheet)
        told = ", ".join(f"{name[4:]} {value:.3f}" for name, value in scores.items())
        bar.write(f"step {self.step}: validation {told}", file=sys.stderr)
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
        if decoder.adain_gain is not None:
            metadata["adain_gain"] = f"{decoder.adain_gain:g}"
        tensors = {name: tensor.cpu().contiguous() for name, tensor in decoder.state_dict().items()}
        return safetensors.torch.save(tensors, metadata)


def _line(point: dict[str, float]) -> str:
    shown = {name: point[f"loss/{name}"] for name in ("content", "style", "identity") if f"loss/{name}" in point}
    losses = " ".join(f"{name} {value:.3g}" for name, value in shown.items())
    return f"{losses}, {point['speed/images_per_second']:.1f} images/s, busy {point['speed/busy']:.0%}"
