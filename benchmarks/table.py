"""How benchmarks tell what they found: a Markdown table, row by row as it is measured, and JSON if asked to."""

import json
from collections.abc import Iterable
from pathlib import Path

Row = dict[str, float | int | str]


def tell(found: Iterable[Row], path: Path | None) -> None:
    """Print rows, whose keys are the table's head, and write them to a JSON file if it is named."""
    rows: list[Row] = []
    for row in found:
        if not rows:
            print("|", " | ".join(row), "|\n|", " | ".join("---" for _ in row), "|", sep="")
        print("|", " | ".join(map(str, row.values())), "|", flush=True)
        rows.append(row)
    if path:
        path.write_text(json.dumps(rows, indent=2) + "\n")
