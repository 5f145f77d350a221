"""Where every stage finds and leaves its files, below the root of the checkout (DVC's outputs in dvc.yaml)."""

from pathlib import Path

from mixste.errors import MixsteError
from pipelines.settings.data import GroupSettings

RECORDINGS = Path("datasets/recordings")
PROJECTIONS = Path("datasets/projections")
VIEWS, RIG = PROJECTIONS / "random", PROJECTIONS / "rig"
ALL_MODELS = Path("models")
MODELS = {name: ALL_MODELS / name for name in ("scratch", "finetuned", "pretrained")}
PREPARED, PROJECTED = Path("reports/prepare.json"), Path("reports/project.json")
EVALUATION = Path("reports/evaluation")
METRICS = EVALUATION / "metrics.json"
PER_CLIP = EVALUATION / "per_clip.csv"
REGISTERED = Path("reports/registered.json")
STUDY = Path("reports/study")
SWEEP = Path("reports/sweep")
RUNS = Path("runs")


def subject_of(table: Path) -> str:
    """Return the subject of a table `SOURCE-SUBJECT.parquet`; a subject's name may contain a dash, a source's not."""
    return table.stem.split("-", 1)[1]


def tables(folder: Path, group: GroupSettings) -> tuple[Path, ...]:
    """Return the absolute paths of a group's tables `SOURCE-SUBJECT.parquet`, by name; no sources means all.

    Raises MixsteError when a subject has no table.
    """
    sources = group.sources or None
    found = [
        path.absolute()
        for path in sorted(folder.glob("*.parquet"))
        if subject_of(path) in group.subjects and (sources is None or path.stem.split("-", 1)[0] in sources)
    ]
    missing = sorted(set(group.subjects) - {subject_of(path) for path in found})
    if missing:
        raise MixsteError(
            f"no projections of subject {', '.join(missing)} in {folder}",
            expected=f"{'/'.join(sources or ['SOURCE'])}-SUBJECT.parquet",
            mend=f"check data.split against {PREPARED} and {PROJECTED}, then run `dvc repro`; random "
            "views are made of world coordinates only: a data set without them pre-trains with pretrain.views=rig",
        )
    return tuple(found)
