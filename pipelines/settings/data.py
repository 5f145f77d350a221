"""The types of the section `data` of params.yaml: captures, labelled data sets, and who is in which split."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from mixste.datasets import FORMATS
from mixste.errors import did_you_mean
from mixste.joint_maps import MAPS
from mixste.settings.rules import (
    NO_REPEATS,
    NOT_EMPTY,
    Fraction,
    Positive,
    Problem,
    Rule,
    Settings,
    at_least,
    one_of,
)
from mixste.skeleton import FOLDER as SKELETONS
from mixste.skeleton import is_own, known_data

NAME = Rule("letters, digits and underscores", lambda value: value.replace("_", "").isalnum())
FILE_NAME = Rule("letters, digits, or any of _ . + -", lambda value: re.fullmatch(r"[\w.+-]+", value) is not None)
Names = Annotated[tuple[str, ...], NOT_EMPTY]


@dataclass(frozen=True)
class BodySettings(Settings):
    """The user's own SMPL+H files below `data.folder`: `models` and `soft` (DMPL) hold GENDER/model.npz each.

    `regressor` makes Human3.6M's joints of the vertices; null: SMPL+H's joints. `fallback` is the gender whose model
    stands in for a missing one; null: a missing one is an error.
    """

    models: Annotated[str, NOT_EMPTY]
    soft: str | None
    regressor: str | None
    fallback: Annotated[str, one_of("female", "male", "neutral")] | None


@dataclass(frozen=True)
class SourceSettings(Settings):
    """One kind of capture file below `data.folder`, and how it becomes metres, Z up, in our joints.

    `upright: false` says that its people lie or crawl in most frames, so that nothing shows whether `up` is right.
    """

    name: Annotated[str, NAME]
    format: Annotated[str, one_of("bvh", "asfamc", "amass")]
    files: Annotated[str, NOT_EMPTY]
    joint_map: Annotated[str, NOT_EMPTY]
    metres_per_unit: Positive
    up: Annotated[str, one_of("y", "z")]
    fps: Positive | None
    upright: bool = True
    body: BodySettings | None = None

    def problems(self) -> Iterator[Problem]:
        """AMC files hold no frame rate, and AMASS's no body."""
        if self.format == "asfamc" and self.fps is None:
            yield Problem("fps", None, "frames per second, because AMC files do not hold it")
        if (self.format == "amass") != (self.body is not None):
            yield Problem("body", self.body, "the body models where the format is amass, and null elsewhere")


@dataclass(frozen=True)
class LabelledSettings(Settings):
    """A data set that brings its own 2D: `files` below `data.folder`, in the order that its format in FORMATS lists.

    `detections` is what every result says of its 2D: the detector's name, or `ground truth`.
    """

    name: Annotated[str, NAME]
    format: Annotated[str, one_of(*FORMATS)]
    files: Annotated[tuple[str, ...], NOT_EMPTY]
    detections: Annotated[str, NOT_EMPTY]

    def problems(self) -> Iterator[Problem]:
        """A format has its number of files."""
        wanted = FORMATS[self.format].files
        if len(self.files) != len(wanted):
            yield Problem("files", self.files, f"{len(wanted)} for {self.format}: {', '.join(wanted)}")


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
class ValidationSettings(GroupSettings):
    """Who is scored after every epoch; `seen`: they train, too, so that nothing may be chosen by them."""

    seen: bool = False


@dataclass(frozen=True)
class SplitSettings(Settings):
    """Subjects of fine-tuning, validation and test, the rest is for pre-training; test trials that are scored apart."""

    labels: LabelSettings
    validation: ValidationSettings
    test: GroupSettings
    apart: tuple[str, ...] = ()

    @property
    def subjects(self) -> tuple[str, ...]:
        """Everyone who is named, once."""
        groups = (self.labels, self.validation, self.test)
        return tuple(dict.fromkeys(subject for group in groups for subject in group.subjects))

    @property
    def held_out(self) -> frozenset[str]:
        """Who no model trains on."""
        return frozenset(self.test.subjects) | frozenset(() if self.validation.seen else self.validation.subjects)

    def problems(self) -> Iterator[Problem]:
        """No subject may be in two of the three, but in labels and a validation that says so."""
        for one, other in (("validation", "labels"), ("test", "labels"), ("test", "validation")):
            shared = getattr(self, one).shares(getattr(self, other))
            allowed = self.validation.seen and (one, other) == ("validation", "labels")
            if shared and not allowed:
                yield Problem(f"{one}.subjects", sorted(shared), f"subjects that are not in {other} too")


@dataclass(frozen=True)
class DataSettings(Settings):
    """The captures: where they are, what they are, what of them is kept and who is in which split.

    With `labelled`, fine-tuning and test are on its own 2D and `sources`, if any, are for pre-training; without it the
    rig's simulated detections of `sources` take its place. `protocol` is how test scores are computed.
    """

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
    sources: tuple[SourceSettings, ...]
    labelled: LabelledSettings | None
    protocol: Annotated[str, one_of("h36m", "mpi_inf_3dhp", "humaneva")]
    split: SplitSettings

    def problems(self) -> Iterator[Problem]:
        """There are data, under names that differ, and what is said of them fits together."""
        names = [source.name for source in self.sources] + ([self.labelled.name] if self.labelled else [])
        if not names:
            yield Problem("sources", [], "one at least, or labelled")
        if not NO_REPEATS.holds(names):
            yield Problem("sources", names, "every name once, that of labelled too")
        for number, source in enumerate(self.sources):
            yield from self.unusable(f"sources.{number}.joint_map", source.joint_map, MAPS)
        yield from self._misfits() if self.labelled else self.unusable("skeleton", self.skeleton, SKELETONS)
        for group in ("labels", "validation", "test"):
            strange = [name for name in getattr(self.split, group).sources if name not in names]
            if strange:
                yield Problem(f"split.{group}.sources", strange, "names from " + ", ".join(names))

    def unusable(self, key: str, name: str, library: Path) -> Iterator[Problem]:
        """What is described by `library/NAME.yaml` has a name there, or is a file below the folder, where DVC sees it.

        Such a file may be written later.
        """
        known = known_data(library)
        below = Path(os.path.normpath(name)).is_relative_to(os.path.normpath(self.folder))
        if not (below if is_own(name) else name in known):
            expected = f"one of {', '.join(known)}, or a .yaml file below {self.folder}{did_you_mean(name, known)}"
            yield Problem(key, name, expected)

    def _misfits(self) -> Iterator[Problem]:
        """A labelled data set has its own rate and skeletons, and its subjects become names of files."""
        if self.labelled is None:
            return
        about = FORMATS[self.labelled.format]
        if self.fps != about.fps:
            yield Problem("fps", self.fps, f"{about.fps:g}, the rate of {self.labelled.format}")
        if self.skeleton not in about.skeletons:
            yield Problem("skeleton", self.skeleton, f"{' or '.join(about.skeletons)} for {self.labelled.format}")
        wrong = [name for name in self.split.subjects if not FILE_NAME.holds(name)]
        if wrong:
            yield Problem("split", wrong, f"subjects of {FILE_NAME.text}; / of the data set is written _")
