"""Results as Markdown."""

from __future__ import annotations

from .cases import CPU, RATE, WHAT, Measure
from .results import Results, Row, Table


def report(results: Results) -> str:
    """The whole of it."""
    head = [", ".join(f"{name} {value}" for name, value in results.heading.items()) + ".", ""]
    head += [f"    {results.command}", ""]
    for name, packages in results.not_installed.items():
        head.append(f"- {name}: not installed ({', '.join(packages)})")
    return "\n".join([*head, *(table for each in results.tables for table in ("", markdown(each)))]) + "\n"


def markdown(table: Table) -> str:
    """One case."""
    measures, sentence = WHAT[table.mode]
    rated = RATE in measures
    columns = ["server"]
    for each in measures:
        columns += [each.title, "ratio"]
    columns += ["better of both"] if rated and CPU in measures else []
    columns += ["least to most", "server busy", "server waited", "generator busy"]
    notes = any(row.note for row in table.rows)
    columns += ["what happened"] if notes else []
    lines = [
        f"**{table.title}.** {sentence}.",
        "",
        line(columns),
        line(["---", *["---:"] * (len(columns) - 1)]),
    ]
    for row in table.rows:
        cells = [row.label]
        for each in measures:
            cells += [number(row.median(each.key)), times(table.ratio(row, each))]
        cells += [times(table.better(row, measures))] if rated and CPU in measures else []
        cells += [
            spread(row, measures[0]),
            share(row, "server_busy"),
            share(row, "server_waited"),
            share(row, "generator_busy"),
        ]
        cells += [row.note.replace("|", "/")] if notes else []
        lines.append(line(cells))
    return "\n".join(lines)


def line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def number(value: float | None) -> str:
    """Three digits that count."""
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def spread(row: Row, measure: Measure) -> str:
    """Least and most of the first measure."""
    found = row.range(measure.key)
    return "-" if found is None else f"{number(found[0])} to {number(found[1])}"


def share(row: Row, key: str) -> str:
    """Of a core."""
    value = row.median(key)
    return "-" if value is None else f"{value:.0%}"
