"""The types of params.yaml: one frozen dataclass a section, each checking itself."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from mixste.detector import DetectorSettings
from mixste.projection import RigSettings, ViewSettings
from mixste.settings import (
    ABOVE_ZERO,
    NO_REPEATS,
    NOT_EMPTY,
    Count,
    Fraction,
    NotNegative,
    Positive,
    Problem,
    Rule,
    Settings,
    at_least,
    between,
    each,
    one_of,
)

NAME = Rule("letters, digits and underscores", lambda value: value.replace("_", "").isalnum())
Rates = Annotated[tuple[float, ...], NOT_EMPTY, NO_REPEATS, each(ABOVE_ZERO)]
Names = Annotated[tuple[str, ...], NOT_EMPTY]


@dataclass(frozen=True)
class SourceSettings(Settings):
    """One kind of capture file below `data.folder`, and how it becomes metres, Z up, in our joints."""

    name: Annotated[str, NAME]
    format: Annotated[str, one_of("bvh", "asfamc")]
    files: Annotated[str, NOT_EMPTY]
    joint_map: Annotated[str, NOT_EMPTY]
    metres_per_unit: Positive
    up: Annotated[str, one_of("y", "z")]
    fps: Positive | None

    def problems(self) -> Iterator[Problem]:
        """AMC files hold no frame rate."""
        if self.format == "asfamc" and self.fps is None:
            yield Problem("fps", None, "frames per second, because AMC files do not hold it")


@dataclass(frozen=True)
class GroupSettings(Settings):
    """Subjects, and the sources they are taken from (none named: all)."""

    subjects: Names
    sources: tuple[str, ...] = ()

    def shares(self, other: "GroupSettings") -> set[str]:
        """Return the subjects that are in both groups; sources do not tell people apart."""
        return set(self.subjects) & set(other.subjects)


@dataclass(frozen=True)
class LabelSettings(GroupSettings):
    """Who has labelled detections: the training data of fine-tuning."""

    fraction: Fraction = 1.0


@dataclass(frozen=True)
class SplitSettings(Settings):
    """Subjects of fine-tuning, validation and test, the rest is for pre-training; test trials that are scored apart."""

    labels: LabelSettings
    validation: GroupSettings
    test: GroupSettings
    apart: tuple[str, ...] = ()

    def problems(self) -> Iterator[Problem]:
        """No subject may be in two of the three."""
        for one, other in (("validation", "labels"), ("test", "labels"), ("test", "validation")):
            shared = getattr(self, one).shares(getattr(self, other))
            if shared:
                yield Problem(f"{one}.subjects", sorted(shared), f"subjects that are not in {other} too")


@dataclass(frozen=True)
class DataSettings(Settings):
    """The captures: where they are, what they are, what of them is kept and who is in which split."""

    name: Annotated[str, NAME]
    folder: Annotated[str, NOT_EMPTY]
    synthetic: bool
    licence: Annotated[str, NOT_EMPTY]
    skeleton: Annotated[str, NOT_EMPTY]
    fps: Positive
    trials: str | None
    drop_frames: Annotated[int, at_least(0)]
    max_speed: Positive
    bone_tolerance: Positive
    min_frames: Annotated[int, at_least(2)]
    sources: Annotated[tuple[SourceSettings, ...], NOT_EMPTY]
    split: SplitSettings

    def problems(self) -> Iterator[Problem]:
        """Names of sources are unique, a split names only those, and DVC sees a joint map of one's own."""
        names = [source.name for source in self.sources]
        if not NO_REPEATS.holds(names):
            yield Problem("sources", names, "every name once")
        for number, source in enumerate(self.sources):
            own = source.joint_map.endswith((".yaml", ".yml"))
            if own and not Path(source.joint_map).is_relative_to(self.folder):
                key, expected = f"sources.{number}.joint_map", f"a known map's name, or a file below {self.folder}"
                yield Problem(key, source.joint_map, expected)
        for group in ("labels", "validation", "test"):
            strange = [name for name in getattr(self.split, group).sources if name not in names]
            if strange:
                yield Problem(f"split.{group}.sources", strange, "names from " + ", ".join(names))


@dataclass(frozen=True)
class ProjectSettings(Settings):
    """From 3D recordings to 2D keypoints: the two camera set-ups and the simulated detector."""

    views: ViewSettings
    rig: RigSettings
    detector: DetectorSettings


@dataclass(frozen=True)
class EvaluateSettings(Settings):
    """How a model is scored and shown."""

    batch_size: Count
    flip: bool
    overlap: Annotated[int, at_least(0)]
    clip_seconds: Positive


@dataclass(frozen=True)
class ClusterSettings(Settings):
    """Where Ray runs and with how many workers."""

    address: str | None
    workers: Count
    cpus_per_worker: Count | None
    gpus_per_worker: NotNegative
    storage: Annotated[str, NOT_EMPTY]
    precision: Annotated[str, one_of("fp32", "bf16")]


@dataclass(frozen=True)
class TrackingSettings(Settings):
    """The MLflow experiment, and the seconds a silent server is waited for."""

    experiment: Annotated[str, NOT_EMPTY]
    timeout: Annotated[int, between(1, 60)]


@dataclass(frozen=True)
class RegisterSettings(Settings):
    """The registered model, the alias of its best version, and which of our models is registered."""

    name: Annotated[str, NOT_EMPTY]
    alias: Annotated[str, NOT_EMPTY]
    model: Annotated[str, one_of("finetuned", "scratch", "pretrained")]


@dataclass(frozen=True)
class NamedLabels(LabelSettings):
    """One set of labels of the label-efficiency study."""

    name: Annotated[str, NOT_EMPTY] = field(kw_only=True)


@dataclass(frozen=True)
class ArmRates(Settings):
    """Learning rates of the three arms: scratch, scratch with the budget of pre-training too, and pre-trained."""

    scratch: Rates
    longer: Rates
    pretrained: Rates

    @property
    def in_order(self) -> tuple[Rates, Rates, Rates]:
        """The rates of the arms as the study lists them."""
        return self.scratch, self.longer, self.pretrained


@dataclass(frozen=True)
class StudySettings(Settings):
    """The label-efficiency study: sets of labels, seeds, and the learning rates that each arm chooses from."""

    labels: Annotated[tuple[NamedLabels, ...], NOT_EMPTY]
    seeds: Annotated[tuple[int, ...], NOT_EMPTY, NO_REPEATS]
    learning_rates: ArmRates

    def problems(self) -> Iterator[Problem]:
        """Sets of labels are told apart by their names."""
        names = [labels.name for labels in self.labels]
        if not NO_REPEATS.holds(names):
            yield Problem("labels", names, "every name once")
