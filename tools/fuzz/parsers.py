"""Feed what reads strangers' bytes with bytes that a fuzzer thinks out: python -m tools.fuzz.parsers images"""

import hashlib
import subprocess
import sys
import time
import traceback
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

NAMES: Final = ("images", "form", "keyframes", "videos", "archives", "weights")
# Whose branches guide the fuzzer; libraries in C are not seen into.
SOURCES: Final = ["app", "PIL", "python_multipart", "zipfile"]
LONGEST: Final = dict(zip(NAMES, (20_000, 8_000, 4_000, 20_000, 3_000, 4_000), strict=True))
SLOW_SECONDS: Final = 10.0  # of the processor, for one input
HANGS_SECONDS: Final = 120  # of the clock
MOST_MEGABYTES: Final = 3000
PNG: Final = b"\x89PNG\r\n\x1a\n"
DONE: Final = "done"


@click.command(epilog="Start it from the project's folder, with the extra `fuzz`. An hour of each is what is usual.")
@click.argument("target", type=click.Choice(NAMES))
@click.option("--minutes", default=60.0, show_default=True, help="how long to go on")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/fuzz"),
    show_default=True,
    help="keeps the corpus of each target, from which the next run goes on, and FINDINGS",
)
@click.option(
    "--more",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    help="folder of files to begin with too, or one file; may be given again",
)
@click.option("--seed", default=1, show_default=True, help="of the fuzzer's chance")
@click.option("--once", is_flag=True, hidden=True)
def main(target: str, minutes: float, folder: Path, more: tuple[Path, ...], seed: int, once: bool) -> None:
    """Fuzz TARGET with atheris, which is libFuzzer for Python.

    \b
    images     picture files, with the service's own limits
    form       multipart bodies, cut into chunks, and the fields in them
    keyframes  JSON of a video's keyframes
    videos     video files: their header and first frames
    archives   zip archives of photos, with small limits
    weights    safetensors files of weights

    Each input that gets anything but a documented answer is kept in FOLDER/TARGET/findings, with a traceback where
    there is one, and so is one that crashes a library, takes 10 s of the processor, 120 s of the clock or 3 GB. It goes
    on behind each. Exit status 1: there are findings.
    """
    corpus, findings = folder / target / "corpus", folder / target / "findings"
    for made in (corpus, findings):
        made.mkdir(parents=True, exist_ok=True)
    if once:
        _fuzz(target, minutes, corpus, findings, seed)
        return
    from tools.fuzz.seeds import SEEDS

    given = [file.read_bytes() for path in more for file in (sorted(path.iterdir()) if path.is_dir() else [path])]
    for data in (*SEEDS[target](), *given):
        (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    until, runs = time.monotonic() + 60 * minutes, 0
    while (left := (until - time.monotonic()) / 60) > 0.05:
        runs += 1
        options = ("--minutes", str(left), "--folder", str(folder), "--seed", str(seed + runs), "--once")
        ended = subprocess.run((sys.executable, "-m", "tools.fuzz.parsers", target, *options), check=False)
        click.echo(f"run {runs} ended with {ended.returncode}")
    inputs = sum(int(file.read_text()) for file in folder.glob(f"{target}/inputs-*"))
    found = sorted(findings.iterdir())
    click.echo(
        f"{target}: {inputs} inputs in all, {runs} runs, {len(list(corpus.iterdir()))} kept, {len(found)} files:"
    )
    for file in found:
        click.echo(f"  {file}")
    sys.exit(bool(found))


def _fuzz(target: str, minutes: float, corpus: Path, findings: Path, seed: int) -> None:
    """Fuzz until the time is over or a library crashes; ends the process."""
    import atheris

    with atheris.instrument_imports(include=SOURCES):
        from tools.fuzz.targets import TARGETS

    watched = _Watched(TARGETS[target], findings, corpus.parent / f"inputs-{time.time_ns()}")
    options = [
        f"-max_total_time={max(1, round(60 * minutes))}",
        f"-max_len={LONGEST[target]}",
        f"-timeout={HANGS_SECONDS}",
        f"-rss_limit_mb={MOST_MEGABYTES}",
        f"-artifact_prefix={findings}/",
        f"-seed={seed}",
        "-print_final_stats=1",
        "-reload=0",
    ]
    atheris.Setup(["fuzz", *options, str(corpus)], watched, custom_mutator=_changed)
    atheris.Fuzz()


class _Watched:
    """A target whose errors are kept and passed over, one of each place, and whose time is taken."""

    def __init__(self, target: Callable[[bytes], None], findings: Path, counted: Path) -> None:
        self._target = target
        self._findings = findings
        self._counted = counted
        self._inputs = 0

    def __call__(self, data: bytes) -> None:
        self._inputs += 1
        if self._inputs % 200 == 0:
            self._counted.write_text(str(self._inputs))
        since = time.process_time()
        try:
            self._target(data)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)
            name = hashlib.sha256(repr([(line.filename, line.lineno) for line in place]).encode()).hexdigest()[:12]
            self._keep(f"{type(error).__name__}-{name}", data, traceback.format_exc())
        seconds = time.process_time() - since
        if seconds > SLOW_SECONDS:
            self._keep(f"slow-{hashlib.sha256(data).hexdigest()[:12]}", data, f"{seconds:.1f} s")

    def _keep(self, name: str, data: bytes, text: str) -> None:
        if not (self._findings / f"{name}.txt").exists():
            (self._findings / name).write_bytes(data)
            (self._findings / f"{name}.txt").write_text(text)


def _changed(data: bytes, most: int, seed: int) -> bytes:
    """libFuzzer's changes, but of a PNG with checksums that are right again three times of four."""
    import atheris

    data = atheris.Mutate(data, most)  # which is another function before `Fuzz` is called
    return _with_right_checksums(bytearray(data)) if seed % 4 and data.startswith(PNG) else data


def _with_right_checksums(file: bytearray) -> bytes:
    at = len(PNG)
    while at + 12 <= len(file):
        end = at + 12 + int.from_bytes(file[at : at + 4])
        if end > len(file):
            break
        file[end - 4 : end] = zlib.crc32(file[at + 4 : end - 4]).to_bytes(4)
        at = end
    return bytes(file)


if __name__ == "__main__":
    main()
