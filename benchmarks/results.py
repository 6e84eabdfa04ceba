"""What a benchmark found, kept beside the tables for the chart."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path("build/benchmarks")


def save(name: str, found: dict[str, Any]) -> None:
    """Write it where `benchmarks.chart` looks for it."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(found, indent=1))


def load(name: str) -> dict[str, Any] | None:
    """What the last run of `name` found, or None."""
    path = FOLDER / f"{name}.json"
    found: dict[str, Any] | None = json.loads(path.read_text()) if path.exists() else None
    return found
