"""Rows of the benchmark as tables for people."""

from collections.abc import Sequence
from typing import Any

from app.http.metrics import STAGES

Row = dict[str, Any]


def tables(rows: Sequence[Row]) -> str:
    """All that was measured, as text."""
    of = {kind: [row for row in rows if row["kind"] == kind] for kind in ("roof", "check", "network", "two", "http")}
    parts = [_card(of["roof"]), _network(of["network"]), _checks(of["check"]), _two(of["two"]), _http(of["http"])]
    failed = [f"{row['candidate']} failed: {row['error']}" for row in rows if row["kind"] == "failed"]
    return "\n\n".join(part for part in (*parts, "\n".join(failed)) if part) + "\n"


def _card(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    best, copies = max(row["operations"] for row in rows), max(row["bytes"] for row in rows)
    return (
        f"{rows[0]['device']}, torch {rows[0]['torch']}: "
        f"a large matrix product {best / 1e12:.3g} TFLOP/s, a large copy {copies / 1e9:.0f} GB/s"
    )


def _network(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    lines = [
        "The network: pictures a second on the device, from host to host, and what a batch takes there and back",
        "way         side  batch  device/s    host/s  ms a batch  of the roof      MB  J a picture",
    ]
    for row in rows:
        megabytes = f"{row['megabytes']:.0f}" if row["megabytes"] else "-"
        joules = f"{row['joules']:.3f}" if row["joules"] else "-"
        lines.append(
            f"{row['candidate']:<10} {row['side']:>5} {row['batch']:>6} {row['device_rate']:>9.1f} "
            f"{row['engine_rate']:>9.1f} {row['milliseconds']:>11.2f} {row['of_roof']:>12.3f} {megabytes:>7} "
            f"{joules:>12}"
        )
    return "\n".join(lines)


def _checks(rows: Sequence[Row]) -> str:
    return "\n".join(
        f"{row['candidate']}: {row['mean_difference']:.3f} levels of 255 from float32 on the CPU on average, "
        f"{row['most_difference']} at most"
        for row in rows
    )


def _two(rows: Sequence[Row]) -> str:
    return "\n".join(
        f"two engines of {row['candidate']} on one device, {row['side']} pixels, batches of {row['batch']}: "
        f"{row['rate']:.1f} pictures a second"
        for row in rows
    )


def _http(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    lines = [
        f"The service: JPEGs of {rows[0]['side']} pixels over HTTP, a remembered style; stages in ms by Server-Timing",
        "clients  offered/s  answered/s   p50 ms   p99 ms  refused  batch  "
        + "".join(f"{stage:>9}" for stage in STAGES)
        + "  watts",
    ]
    for row in rows:
        who = f"{row['clients']:>7}" if row["clients"] else f"{'-':>7}"
        offered = f"{row['offered']:>9.1f}" if row["offered"] else f"{'-':>9}"
        stages = "".join(f"{row['stages'].get(stage, float('nan')):>9.1f}" for stage in STAGES)
        watts = f"{row['watts']:>7.0f}" if row["watts"] else f"{'-':>7}"
        lines.append(
            f"{who}  {offered}  {row['rate']:>10.1f} {row['p50']:>8.1f} {row['p99']:>8.1f} {row['refused']:>8.1%} "
            f"{row['batch']:>6.1f}  {stages}{watts}"
        )
    return "\n".join(lines)
