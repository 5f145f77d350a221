"""The versions of a registered model as a table to read."""

from rich.table import Table

from mixste.errors import shown
from pipelines.registry import Shelf
from pipelines.registry.succession import (
    CHOSEN,
    HEADLINE,
    ROLLED_BACK,
    ROLLED_BACK_TO,
    ROLLED_BACK_WHY,
    TEST_DATA,
    VERDICT,
    State,
    Version,
)


def table(shelf: Shelf, state: State) -> Table:
    """Return the versions as a table, the newest first: test error, data, commit, and what became of each."""
    rows = Table(title=f"{shelf.name} in {shown(shelf.uri)}", title_justify="left")
    for heading in ("version", "alias", "test error", "test data", "commit", "what became of it"):
        rows.add_column(heading, overflow="fold")
    for version in reversed(state.versions):
        tags = version.tags
        at = shelf.alias if version.number == state.alias else ""
        data, commit = tags.get(TEST_DATA, "")[:8], tags.get("git_commit", "")[:8]
        rows.add_row(str(version.number), at, _error(version), data, commit, _fate(version))
    return rows


def _error(version: Version) -> str:
    metric = version.tags.get(HEADLINE, "mpjpe")
    value = version.tags.get(f"test_{metric}_mm")
    return f"{metric.upper().replace('_', '-')} {float(value):.1f} mm" if value else ""


def _fate(version: Version) -> str:
    tags = version.tags
    if version.rolled_back:
        why = tags.get(ROLLED_BACK_WHY) or "no reason given"
        return f"rolled back to version {tags.get(ROLLED_BACK_TO)} on {tags[ROLLED_BACK]}: {why}"
    chosen = f"chosen on {tags[CHOSEN]}" if CHOSEN in tags else ""
    return "; ".join(filter(None, (chosen, tags.get(VERDICT))))
