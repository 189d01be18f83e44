"""All samples of a run, and what follows from them."""

from __future__ import annotations

import statistics

import msgspec

from .cases import Measure
from .load.job import TOLERATED, Sample


class Row(msgspec.Struct):
    """A server in a case, with a sample for each round."""

    label: str
    samples: list[Sample] = []

    def median(self, key: str) -> float | None:
        """Over the rounds that went well."""
        values = [each.figures[key] for each in self.samples if key in each.figures]
        return statistics.median(values) if values else None

    def range(self, key: str) -> tuple[float, float] | None:
        """Least and most over the rounds."""
        values = [each.figures[key] for each in self.samples if key in each.figures]
        return (min(values), max(values)) if values else None

    @property
    def note(self) -> str:
        """What happened, each thing once."""
        said = [each.error or each.outcome for each in self.samples]
        return "; ".join(dict.fromkeys(text for text in said if text))


class Table(msgspec.Struct):
    """A case with all its servers; the first is the baseline."""

    key: str
    mode: str
    title: str
    rows: list[Row]

    def ratio(self, row: Row, measure: Measure) -> float | None:
        """How many times better than the baseline: the median over rounds of the ratio within a round.

        Within a round, whatever slows the machine down slows both. Rounds in which either was disturbed don't
        count for what is timed: a disturbed baseline would make everyone else look good.
        """
        found = []
        for one, base in zip(row.samples, self.rows[0].samples, strict=False):
            mine, its = one.figures.get(measure.key, 0), base.figures.get(measure.key, 0)
            if measure.timed and max(one.disturbed, base.disturbed) > TOLERATED:
                continue
            if mine > 0 and its > 0 and one.complete and base.complete:
                found.append(mine / its if measure.more_is_better else its / mine)
        return statistics.median(found) if found else None

    def better(self, row: Row, measures: tuple[Measure, ...]) -> float | None:
        """The better of the ratios of the first two measures."""
        found = [ratio for each in measures[:2] if (ratio := self.ratio(row, each)) is not None]
        return max(found) if found else None


class Results(msgspec.Struct):
    """A run."""

    heading: dict[str, str]
    command: str
    not_installed: dict[str, list[str]] = {}
    tables: list[Table] = []
