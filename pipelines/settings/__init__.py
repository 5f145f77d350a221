"""The types of params.yaml: one frozen dataclass a section, each checking itself; the section `data` is in `data`.

`chosen` goes back from settings to the command that composes them.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from mixste.detector import DetectorSettings
from mixste.errors import MixsteError
from mixste.projection import RigSettings, ViewSettings
from mixste.recipe import Execution
from mixste.settings.rules import (
    ABOVE_ZERO,
    NO_REPEATS,
    NOT_EMPTY,
    BelowOne,
    Count,
    NotNegative,
    Positive,
    Problem,
    Range,
    Settings,
    at_least,
    between,
    each,
    one_of,
)
from pipelines.settings.data import NAME, LabelSettings

# What stands in metrics.json beside the models' scores, so that no model can have its name.
BESIDE_SCORES = (
    *("data", "detections", "left_out", "pretraining_gain_mpjpe"),
    *("protocol", "synthetic", "test_data", "validation_mpjpe", "weights_hash"),
)
Rates = Annotated[tuple[float, ...], NOT_EMPTY, NO_REPEATS, each(ABOVE_ZERO)]


@dataclass(frozen=True)
class ProjectSettings(Settings):
    """From 3D recordings to 2D keypoints: the two camera set-ups and the simulated detector."""

    views: ViewSettings
    rig: RigSettings
    detector: DetectorSettings


@dataclass(frozen=True)
class ModelFolder(Settings):
    """A model from elsewhere, as an imported checkpoint, by the name that its results go by."""

    name: Annotated[str, NAME]
    folder: Annotated[str, NOT_EMPTY]


@dataclass(frozen=True)
class EvaluateSettings(Settings):
    """How a model is scored and shown; `models` are scored beside the pipeline's own, `as_published` once more."""

    batch_size: Count | None
    flip: bool
    overlap: Annotated[int, at_least(0)]
    clip_seconds: Positive
    as_published: bool
    models: tuple[ModelFolder, ...]

    def problems(self) -> Iterator[Problem]:
        """Every model has a name of its own in metrics.json."""
        names = ["scratch", "finetuned", "pretrained", *(extra.name for extra in self.models)]
        if not NO_REPEATS.holds(names):
            yield Problem("models", names[3:], "names that differ, none of them scratch, finetuned or pretrained")
        for number, extra in enumerate(self.models):
            if extra.name in BESIDE_SCORES:
                expected = f"a name that metrics.json leaves free, none of {', '.join(BESIDE_SCORES)}"
                yield Problem(f"models.{number}.name", extra.name, expected)


@dataclass(frozen=True)
class ClusterSettings(Settings):
    """Where Ray runs, with how many workers (with `min_workers`: from so many on), and where checkpoints live.

    `autoscaling`: the cluster starts machines that it is asked for, so what it does not have is waited for.
    `accumulate`, `compile` and `recompute` are how each worker carries out its steps (`mixste.recipe.Execution`).
    """

    address: str | None
    autoscaling: bool
    dashboard: bool
    workers: Count
    min_workers: Count | None
    resize_seconds: Positive
    cpus_per_worker: Count | None
    gpus_per_worker: NotNegative
    storage: Annotated[str, NOT_EMPTY]
    precision: Annotated[str, one_of("fp32", "bf16")]
    accumulate: Count
    compile: bool
    recompute: bool

    def problems(self) -> Iterator[Problem]:
        """Nobody waits for what cannot be; passwords are not for params.yaml, which is committed."""
        if self.min_workers is not None and self.min_workers > self.workers:
            yield Problem("min_workers", self.min_workers, f"at most workers, which is {self.workers}")
        if self.autoscaling and self.cpus_per_worker is None:
            expected = "false, or a number for cpus_per_worker: machines that are not there yet cannot be shared out"
            yield Problem("autoscaling", True, expected)
        if re.search(r"://[^/?#]*:[^/?#]*@", self.storage):
            expected = "no password in it; the environment has it, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            yield Problem("storage", self.storage, expected)

    @property
    def execution(self) -> Execution:
        """How a worker carries out its steps."""
        return Execution(accumulate=self.accumulate, compile=self.compile, recompute=self.recompute)

    @property
    def folder(self) -> Path:
        """`storage` as a folder, for what no object store can hold; MixsteError if it is a URI."""
        if "://" in self.storage:
            raise MixsteError(
                "sweeps and studies write into folders",
                found=f"cluster.storage: {self.storage}",
                mend="name a folder that all machines see: `make params ... cluster.storage=/mnt/shared/mixste`",
            )
        return Path(self.storage).absolute()


@dataclass(frozen=True)
class TrackingSettings(Settings):
    """The MLflow experiment, the seconds a silent server is waited for, and those between two looks at the machine."""

    experiment: Annotated[str, NOT_EMPTY]
    timeout: Annotated[int, between(1, 60)]
    system_metrics: Annotated[int, between(1, 3600)] | None


@dataclass(frozen=True)
class RegisterSettings(Settings):
    """The registered model, the alias of its best version, which model, `models/MODEL`, is registered.

    `sure`: how sure it takes that it is better than the champion.
    """

    name: Annotated[str, NOT_EMPTY]
    alias: Annotated[str, NOT_EMPTY]
    model: Annotated[str, NAME]
    sure: BelowOne


@dataclass(frozen=True)
class ServeSettings(Settings):
    """Who serves which model where, and what a replica takes: windows and requests at once, bytes, seconds."""

    model: Annotated[str, NOT_EMPTY]
    host: Annotated[str, NOT_EMPTY]
    port: Annotated[int, between(1, 65535)]
    replicas: Count
    cpus_per_replica: Count | None
    gpus_per_replica: NotNegative
    precision: Annotated[str, one_of("fp32", "bf16")]
    batch: Count | None
    at_once: Count
    waiting: Annotated[int, at_least(0)]
    megabytes: Positive
    seconds: Positive


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


@dataclass(frozen=True)
class SweptKey(Settings):
    """A dotted key of params.yaml that the sweep sets: to one of `choices`, or drawn log-uniformly from `range`."""

    key: Annotated[str, NOT_EMPTY]
    choices: Annotated[tuple[Any, ...], NOT_EMPTY] | None = None
    range: Range | None = None

    def problems(self) -> Iterator[Problem]:
        """It is drawn in one way."""
        if (self.choices is None) == (self.range is None):
            yield Problem("choices", self.choices, f"either choices or range for {self.key}")


@dataclass(frozen=True)
class HalvingSettings(Settings):
    """ASHA: after `grace` epochs, and `reduction` times as many again and again, only the best 1/reduction go on."""

    grace: Count
    reduction: Annotated[int, at_least(2)]


@dataclass(frozen=True)
class SweepSettings(Settings):
    """What is tried, how it is chosen and how many trainings there are; `halving` null trains each to its end."""

    train: Annotated[str, one_of("scratch", "finetune")]
    searcher: Annotated[str, one_of("optuna", "random", "grid")]
    trials: Count
    concurrency: Count | None
    halving: HalvingSettings | None
    space: Annotated[tuple[SweptKey, ...], NOT_EMPTY]

    def problems(self) -> Iterator[Problem]:
        """Every key is swept once, and a grid has no ranges."""
        keys = [swept.key for swept in self.space]
        if not NO_REPEATS.holds(keys):
            yield Problem("space", keys, "every key once")
        ranges = [swept.key for swept in self.space if swept.range]
        if self.searcher == "grid" and ranges:
            yield Problem("searcher", "grid", f"optuna or random, because {', '.join(ranges)} is a range")
