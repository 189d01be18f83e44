"""Results as a picture: how many times raw aiohttp, for a handful of cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .cases import WHAT
from .peers import BASELINE, PEERS
from .results import Results

HEADLINES = (
    ("echo/1", "echo, 1 in flight"),
    ("echo/4", "echo, 4 in flight"),
    ("fanout/1000/2/64", "fan-out to 1,000, 64 B"),
    ("fanout/1000/16/64", "fan-out to 1,000,\n16 in flight, 64 B"),
    ("fanout/1000/2/1024", "fan-out to 1,000, 1 KiB"),
    ("connect", "handshakes"),
    ("idle", "memory a connection\n(longer is less)"),
)
PLATE = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
"""Behind a number, so that the dashed line does not run through it."""

OURS = ("#0b4f8a", "#1b6ca8", "#5aa9dd", "#8cc6ea")
OTHERS = ("#4d4d4d", "#737373", "#969696", "#b5b5b5", "#d0d0d0")


def draw(results: Results, path: Path) -> None:
    """Write a PNG. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import patches, pyplot

    groups = bars(results)
    if not groups:
        raise ValueError("the results have none of the cases that are drawn")
    labels = list(dict.fromkeys(label for _, found in groups for label in found))
    colours = colour(labels)
    height = sum(len(found) + 1 for _, found in groups) * 0.22 + 1
    figure: Any
    axes: Any
    figure, axes = pyplot.subplots(figsize=(8, height), dpi=150)
    place, ticks = 0.0, []
    for title, found in groups:
        start = place
        for label, value in found.items():
            axes.barh(place, value, height=0.85, color=colours[label])
            axes.text(value + 0.02, place, f"{value:.2f}", va="center", fontsize=7, bbox=PLATE)
            place += 1
        ticks.append(((start + place - 1) / 2, title))
        place += 0.8
    axes.axvline(1, color="black", linewidth=1, linestyle="--")
    axes.set_yticks([at for at, _ in ticks], [title for _, title in ticks], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("times raw aiohttp on uvloop (dashed): rate, or memory; longer is better", fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    heading = results.heading
    told = [f"{name} {heading[name]}" for name in ("Python", "aiohttp", "uvloop") if name in heading]
    axes.set_title(f"{', '.join(told)}, {heading['CPUs']} CPUs", fontsize=8, loc="left")
    handles = [patches.Patch(color=colours[label]) for label in labels]
    figure.legend(
        handles, labels, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=5, frameon=False
    )
    figure.tight_layout()
    figure.savefig(path, bbox_inches="tight")
    pyplot.close(figure)


def bars(results: Results) -> list[tuple[str, dict[str, float]]]:
    """For each headline case, the ratio of each server's first measure to the baseline's."""
    tables = {table.key: table for table in results.tables}
    groups = []
    for key, title in HEADLINES:
        if key not in tables:
            continue
        table = tables[key]
        measure = WHAT[table.mode][0][0]
        ratios = {row.label: table.ratio(row, measure) for row in table.rows if row.label != BASELINE}
        # Of the many lengths of chain, the shortest and a usual one are enough here.
        kept = {
            label: value for label, value in ratios.items() if value and label.split(", ")[-1] in keep(label)
        }
        if kept:
            groups.append((title, kept))
    return groups


def keep(label: str) -> tuple[str, ...]:
    """The ends of a label with which it is drawn."""
    return ("0 links", "10 links") if label.endswith((" links", " link")) else (label,)


def colour(labels: list[str]) -> dict[str, str]:
    """Blue for the bus, grey for the others."""
    others = {peer.name for peer in PEERS}
    found: dict[str, str] = {}
    for shades, group in (
        (OTHERS, [label for label in labels if label in others]),
        (OURS, [label for label in labels if label not in others]),
    ):
        found |= {label: shades[number % len(shades)] for number, label in enumerate(group)}
    return found
