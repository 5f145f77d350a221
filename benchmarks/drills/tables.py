"""What a drill found, line by line, as Markdown; it fails if one line does not hold."""

import sys
from dataclasses import dataclass, field


@dataclass
class Table:
    """Lines of what was tried, what was found, and whether that is as it must be."""

    title: str
    rows: list[tuple[str, str, bool]] = field(default_factory=list)

    def add(self, what: str, found: object, holds: bool = True) -> None:
        """Add a line, and print it as progress."""
        self.rows.append((what, str(found), holds))
        sys.stderr.write(f"{what}: {found}{'' if holds else '   DOES NOT HOLD'}\n")

    def finish(self) -> None:
        """Print the table; exit status 1 if a line does not hold."""
        rows = [f"| {what} | {found} | {'yes' if holds else '**no**'} |" for what, found, holds in self.rows]
        print("\n".join([f"| {self.title} | found | holds |", "|---|---|---|", *rows]))
        raise SystemExit(0 if all(holds for *_, holds in self.rows) else 1)
