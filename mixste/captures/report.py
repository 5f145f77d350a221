"""What became of every capture file: counts, joint maps, and each rejected file and trimmed range with its reason."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mixste.captures.cleaning import Defect
from mixste.captures.doubts import check_axis, described, doubt_rate, doubts
from mixste.captures.people import Figure
from mixste.captures.preparing import Outcome
from mixste.captures.source import Source
from mixste.errors import MixsteError, counted

MISCOUNTED = "another number of frames than the table of trials says"


@dataclass(frozen=True)
class Row:
    """One file: frames it had, frames `kept` at the target rate in `pieces`, ranges taken out, why it was rejected.

    `dropped` frames were left out at its start; `expected` is how many frames the table of trials says it has; `notes`
    say what its reader had to choose or leave out.
    """

    source: str
    subject: str
    path: Path
    frames: int
    pieces: int
    kept: int
    defects: tuple[Defect, ...]
    rejected: str
    dropped: int = 0
    expected: int | None = None
    notes: tuple[str, ...] = ()
    figure: Figure = field(default_factory=Figure)

    @property
    def miscounted(self) -> bool:
        """Whether the file was read and has another number of frames than the table of trials says."""
        return self.expected is not None and self.frames > 0 and self.frames != self.expected

    @property
    def trimmed(self) -> tuple[Defect, ...]:
        """The ranges taken out of a file of which something stays."""
        return () if self.rejected else self.defects

    @property
    def too_fast(self) -> bool:
        """Whether anything was taken out because a joint is too fast."""
        return any(defect.too_fast for defect in self.defects)


def account(source: Source, outcome: Outcome) -> Row:
    """Return the outcome of one file without its motion."""
    lengths = [len(recording.joints) for recording in outcome.recordings]
    trial = outcome.trial
    return Row(
        source=source.name,
        subject=trial.subject,
        path=trial.path,
        frames=outcome.frames,
        pieces=len(lengths),
        kept=sum(lengths),
        defects=outcome.defects,
        rejected=outcome.rejected,
        dropped=outcome.dropped,
        expected=trial.frames,
        notes=outcome.notes,
        figure=outcome.figure,
    )


def summarise(rows: Sequence[Row], sources: Sequence[Source], folder: Path, fps: float) -> dict[str, Any]:
    """Return the report as plain data, files below `folder`.

    MixsteError if nothing of a source is left, or if its vertical axis cannot be right.
    """
    people = [
        (source, subject, [row for row in rows if (row.source, row.subject) == (source.name, subject)])
        for source in sources
        for subject in dict.fromkeys(row.subject for row in rows if row.source == source.name)
    ]
    return {
        "total": _count(rows, fps),
        "sources": {
            source.name: _about(source, [row for row in rows if row.source == source.name], fps) for source in sources
        },
        "subjects": {
            f"{source.name}-{subject}": {**_count(own, fps), **described(source, _figures(own))}
            for source, subject, own in people
        },
        "rejected": [
            {"file": _below(row.path, folder), "frames": row.frames, "reason": row.rejected.replace(f"{folder}/", "")}
            for row in rows
            if row.rejected
        ],
        "trimmed": [{"file": _below(row.path, folder), **asdict(defect)} for row in rows for defect in row.trimmed],
        "warnings": [
            *(
                {"file": _below(row.path, folder), "warning": MISCOUNTED, "found": row.frames, "expected": row.expected}
                for row in rows
                if row.miscounted
            ),
            *(
                {"subject": f"{source.name}-{subject}", "warning": str(doubt)}
                for source, subject, own in people
                for doubt in doubts(source, subject, _figures(own))
            ),
            *(
                {"source": source.name, "warning": str(doubt)}
                for source in sources
                for doubt in doubt_rate(source, *_too_fast([row for row in rows if row.source == source.name]))
            ),
        ],
    }


def _figures(rows: Sequence[Row]) -> list[Figure]:
    return [row.figure for row in rows]


def _too_fast(rows: Sequence[Row]) -> tuple[int, int]:
    return sum(row.too_fast for row in rows), len(rows)


def _about(source: Source, rows: Sequence[Row], fps: float) -> dict[str, Any]:
    if not any(row.kept for row in rows):
        first = next((row.rejected for row in rows), "no file at all")
        found = f"{counted(len(rows), 'file')}, all rejected, the first because: {first}"
        mend = "correct the source in conf/data"
        raise MixsteError(f"nothing of source {source.name} can be used", found=found, mend=mend)
    check_axis(source, _figures(rows))
    notes = dict(Counter(note for row in rows for note in row.notes))
    about = {"joint_map": source.joint_map.name, "joints": source.joint_map.report(), "notes": notes}
    return {**_count(rows, fps), **about}


def _below(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()


def _count(rows: Sequence[Row], fps: float) -> dict[str, Any]:
    kept = sum(row.kept for row in rows)
    trimmed = [defect for row in rows for defect in row.trimmed]
    return {
        "files": len(rows),
        "rejected_files": sum(bool(row.rejected) for row in rows),
        "recordings": sum(row.pieces for row in rows),
        "frames": kept,
        "minutes": round(kept / fps / 60, 2),
        "dropped_source_frames": sum(row.dropped for row in rows if not row.rejected),
        "trimmed_ranges": len(trimmed),
        "trimmed_source_frames": sum(defect.last - defect.first + 1 for defect in trimmed),
    }
