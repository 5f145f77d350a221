"""Results as they were printed, one YAML a benchmark; README.md beside them explains the keys of a row."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

from mixste.scoring.protocols import MOTIONBERT_BLOCKED

FOLDER = Path(__file__).parent
_LINEAR = {"linear MACs": 1.0, "2 x MACs": 0.5}


@dataclass(frozen=True)
class Benchmark:
    """The file of published rows that a data set's results stand beside, its protocol, and whom everyone tests on.

    `apart` are the trials (`SUBJECT/TRIAL`) of those people that nobody's figures hold.
    """

    name: str
    protocol: str
    subjects: tuple[str, ...]
    apart: tuple[str, ...] = ()

    def tests_on(self, subjects: Iterable[str], apart: Iterable[str]) -> bool:
        """Whether everyone tests on these subjects, with these trials set apart."""
        return set(subjects) == set(self.subjects) and set(apart) <= set(self.apart)


# By the format of the data set (mixste.datasets).
BENCHMARKS = {
    "h36m": Benchmark("h36m", "camera", ("S9", "S11")),
    "motionbert": Benchmark("h36m", "motionbert", ("S9", "S11"), tuple(f"S9/{name}" for name in MOTIONBERT_BLOCKED)),
    "mpi_inf_3dhp": Benchmark("mpi_inf_3dhp", "univ_annot3", ("TS1", "TS2", "TS3", "TS4", "TS5", "TS6")),
    "humaneva": Benchmark("humaneva", "humaneva", ("Validate_S1", "Validate_S2", "Validate_S3")),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A printed result: errors in mm, PCK and AUC in percent, `parameters` and `cost` in millions."""

    method: str
    detections: str
    protocol: str
    evidence: str
    venue: str = ""
    frames: int | None = None
    parameters: float | None = None
    cost: float | None = None
    cost_means: str = "not stated"
    fps: int | None = None
    mpjpe: float | None = None
    p_mpjpe: float | None = None
    pck: float | None = None
    auc: float | None = None
    mpjpe_actions: dict[str, float] = field(default_factory=dict)
    p_mpjpe_actions: dict[str, float] = field(default_factory=dict)
    second_hand: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()
    remark: str = ""
    apart: str = ""

    @property
    def linear_macs(self) -> float | None:
        """Millions of multiply-adds of linear layers for one window; None if the source does not say what it counts."""
        factor = _LINEAR.get(self.cost_means)
        return None if factor is None or self.cost is None else factor * self.cost

    def why_apart(self, detections: str, protocol: str) -> str:
        """Why it cannot be set against results of this 2D and protocol; nothing if it can."""
        reasons = [self.apart] if self.apart else []
        if self.detections.casefold() != detections.casefold():
            reasons.append(f"2D: {self.detections}")
        if self.protocol != protocol:
            reasons.append(f"protocol: {self.protocol}")
        return "; ".join(reasons)


@cache
def load_published(name: str) -> tuple[Row, ...]:
    """The rows of `mixste/published/NAME.yaml`."""
    tree = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    actions = tree.get("actions", ())
    return tuple(_row(dict(own), actions) for own in tree["rows"])


def _row(own: dict, actions: list[str]) -> Row:
    for key in ("mpjpe_actions", "p_mpjpe_actions"):
        if key in own:
            own[key] = dict(zip(actions, own[key], strict=True))
    for key in ("second_hand", "unverified"):
        own[key] = tuple(own.get(key, ()))
    return Row(**own)
