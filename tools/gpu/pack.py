"""Folders of photos and paintings as tar files small enough to travel, for tools/gpu/train.sh.

    python tools/gpu/pack.py CONTENT STYLE FOLDER

Pictures are reduced to what crops of 256 pixels need. Each part is a fair sample of both folders, so that a training
can begin with some of them.
"""

import argparse
import hashlib
import io
import tarfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from PIL import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def reduced(path: Path, short: int, quality: int) -> bytes:
    """A picture whose short side is `short` pixels at most, as WebP."""
    picture = Image.open(path).convert("RGB")
    scale = short / min(picture.size)
    if scale < 1:
        size = (round(picture.width * scale), round(picture.height * scale))
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "WEBP", quality=quality)
    return file.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("content", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--short", type=int, default=256, help="short side at most, in pixels (default: 256)")
    parser.add_argument("--quality", type=int, default=82, help="of WebP (default: 82)")
    parser.add_argument("--most", type=float, default=40.0, help="megabytes of a part (default: 40)")
    asked = parser.parse_args()
    found = [
        (kind, folder, path)
        for kind, folder in (("content", asked.content), ("style", asked.style))
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
    ]
    found.sort(key=lambda item: hashlib.sha256(str(item[2].relative_to(item[1])).encode()).digest())
    asked.folder.mkdir(parents=True, exist_ok=True)
    parts: list[tarfile.TarFile] = []
    room = 0.0
    with ProcessPoolExecutor() as pool:
        paths = [path for _, _, path in found]
        files = pool.map(reduced, paths, [asked.short] * len(paths), [asked.quality] * len(paths), chunksize=16)
        for (kind, folder, path), data in zip(found, files, strict=True):
            if room < len(data) + 2 * tarfile.BLOCKSIZE:
                parts.append(tarfile.open(asked.folder / f"pictures-{len(parts) + 1}.tar", "w"))  # noqa: SIM115
                room = 1e6 * asked.most - tarfile.RECORDSIZE
            entry = tarfile.TarInfo(str(Path(kind) / path.relative_to(folder).with_suffix(".webp")))
            entry.size = len(data)
            parts[-1].addfile(entry, io.BytesIO(data))
            room -= len(data) + 2 * tarfile.BLOCKSIZE
    for part in parts:
        part.close()
        print(f"{Path(str(part.name)).stat().st_size / 1e6:8.1f} MB  {part.name}")


if __name__ == "__main__":
    main()
