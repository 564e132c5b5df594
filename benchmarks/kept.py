"""What was measured last, bar by bar, so that one bar can be measured again without the others."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, markdown

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


@dataclass(frozen=True)
class Kept:
    """A file of figures by bar, each with the day it was measured."""

    path: Path

    def put(self, bar: str, figures: Sequence[Figure]) -> None:
        """Keep a bar's figures in place of its former ones."""
        bars = self._read()
        bars[bar] = {"on": f"{datetime.now(UTC):%Y-%m-%d}", "figures": [asdict(each) for each in figures]}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(bars, indent=1), encoding="utf-8")

    def figures(self, order: Iterable[str]) -> list[Figure]:
        """Return everything that is kept, in the order of the bars."""
        bars = self._read()
        kept = [each for bar in order if bar in bars for each in bars[bar]["figures"]]
        return [Figure(**{**each, "values": tuple(each["values"])}) for each in kept]

    def write(self, page: Path, order: Sequence[str]) -> None:
        """Put the table between the page's marks."""
        before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        if not after:
            raise SystemExit(f"{page} has lost its marks {BEGIN} and {END}; put them back.")
        bars = self._read()
        days = sorted({bars[bar]["on"] for bar in order if bar in bars})
        when = " to ".join(dict.fromkeys((days[0], days[-1])))
        shown = f"{BEGIN}\nMeasured {when}.\n\n{markdown(self.figures(order))}\n{END}"
        page.write_text(before + shown + after, encoding="utf-8")

    def _read(self) -> dict[str, Any]:
        bars: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8")) if self.path.is_file() else {}
        return bars
