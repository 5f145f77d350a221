"""Typed settings: `load()` reads params.yaml; `python -m pipelines.params data=cmu` composes it from conf/."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixste.cameras import FOLDER as CAMERAS
from mixste.errors import MixsteError, counted
from mixste.files.whole import whole_file
from mixste.recipe import FinetuneSettings, ModelSettings, PretrainSettings
from mixste.settings.rules import Problem, Settings
from mixste.settings.typed import build
from pipelines.places import ALL_MODELS
from pipelines.process.stage import run
from pipelines.settings import (
    ClusterSettings,
    EvaluateSettings,
    ProjectSettings,
    RegisterSettings,
    ServeSettings,
    StudySettings,
    SweepSettings,
    TrackingSettings,
)
from pipelines.settings.composing import CONF, compose
from pipelines.settings.data import DataSettings

PARAMS = Path("params.yaml")
MISORDERED = (
    "note: as published, MixSTE's joint weights for HumanEva are in the order of Human3.6M's joints, not of its own; "
    "finetune.loss.weighted=false lets all joints weigh alike\n"
)
__all__ = ["ClusterSettings", "DataSettings", "EvaluateSettings", "Params", "ProjectSettings", "load", "write"]


@dataclass(frozen=True)
class Params(Settings):
    """Everything that is chosen, one attribute a section of params.yaml."""

    seed: int
    data: DataSettings
    project: ProjectSettings
    model: ModelSettings
    pretrain: PretrainSettings
    finetune: FinetuneSettings
    evaluate: EvaluateSettings
    cluster: ClusterSettings
    tracking: TrackingSettings
    register: RegisterSettings
    serve: ServeSettings
    sweep: SweepSettings
    study: StudySettings | None = None

    def problems(self) -> Iterator[Problem]:
        """Windows overlap by less than their length, DVC sees the rig, who trains chooses nothing; see `_too_short`."""
        frames, overlap = self.model.frames, self.evaluate.overlap
        yield from self._too_short()
        if overlap >= frames:
            yield Problem("evaluate.overlap", overlap, f"less than model.frames, which is {frames}")
        yield from self._unscored()
        yield from self.data.unusable("project.rig.cameras", self.project.rig.cameras, CAMERAS)
        for stage in ("pretrain", "finetune") if self.data.split.validation.seen else ():
            if (keep := getattr(self, stage).keep) != "last":
                yield Problem(
                    f"{stage}.keep", keep, "last, because data.split.validation.seen says that they train, too"
                )

    def _too_short(self) -> Iterator[Problem]:
        """Windows fit clips, those that skip frames, too, where pre-training is on such clips."""
        frames, span, clip = self.model.frames, self.model.span, self.project.views.clip_frames
        if clip < frames:
            yield Problem("project.views.clip_frames", clip, f"model.frames or more, which is {frames}")
        elif clip < span and self.pretrain.views == "random":
            expected = (
                f"what a window of {frames} frames with model.step {self.model.step} spans or more, which is {span}, "
                f"because pretrain.views is random: add project.views.clip_frames={span}, or pretrain.views=rig"
            )
            yield Problem("project.views.clip_frames", clip, expected)

    def _unscored(self) -> Iterator[Problem]:
        """What is registered is scored before, and stands where DVC looks for it, in `models/`."""
        name = self.register.model
        scored = ["finetuned", "scratch", "pretrained"]
        scored += [extra.name for extra in self.evaluate.models if Path(extra.folder) == ALL_MODELS / extra.name]
        if name not in scored:
            yield Problem("register.model", name, f"{', '.join(scored)}, or evaluate.models with models/{name}")


def load(path: Path = PARAMS) -> Params:
    """Read and check params.yaml; MixsteError names every wrong key at once."""
    return build(Params, read(path), str(path))


def read(path: Path) -> object:
    """Return a YAML file as nested dictionaries; MixsteError if it is missing, no YAML, or names an unknown ${key}."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if not path.is_file():
        raise MixsteError(f"cannot read {path}", found="no such file", mend="run `make params` at the repository root")
    try:
        return OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    except OmegaConfBaseException as error:
        found = f"{error.full_key or 'a key'}: {(str(error).splitlines() or [''])[0]}"
        expected, mend = "a value, or ${KEY} of a key of that file", "correct it, or run `make params`"
        raise MixsteError(f"cannot use {path}", found=found, expected=expected, mend=mend) from error
    except (YAMLError, UnicodeDecodeError, OSError) as error:
        raise MixsteError(f"cannot read {path}", found=str(error), expected="YAML") from error


def write(overrides: Sequence[str] = (), conf: Path = CONF, path: Path = PARAMS) -> Params:
    """Compose `conf`, check it, and only then write it to `path`, in the bytes DVC's own composition writes."""
    from omegaconf import OmegaConf

    composed = compose(overrides, conf)
    where = " with ".join(filter(None, (str(conf), " ".join(overrides))))
    params = build(Params, OmegaConf.to_container(composed, resolve=True), where)
    with whole_file(path) as partial:
        partial.write_text(OmegaConf.to_yaml(composed), encoding="utf-8")
    return params


def main() -> None:
    """Write params.yaml with the overrides of the command line and say what was chosen."""
    parser = argparse.ArgumentParser(
        "python -m pipelines.params",
        description=f"Write {PARAMS}: the choices of {CONF}/config.yaml, but for those that are named.",
        epilog="docs/configuration.md explains every group; for example: data=cmu model=small finetune.epochs=5",
    )
    told = f"a file {CONF}/KEY/VALUE.yaml, or the value of a single key"
    parser.add_argument("choices", nargs="*", metavar="KEY=VALUE", help=told)
    params = write(parser.parse_args().choices)
    model = params.model
    sys.stderr.write(
        f"{PARAMS}: data {params.data.name}; {model.architecture} of {counted(model.frames, 'frame')}, "
        f"width {model.width}, depth {model.depth}, heads {model.heads}\n"
    )
    if params.data.skeleton == "humaneva15" and params.finetune.loss.weighted:
        sys.stderr.write(MISORDERED)


if __name__ == "__main__":
    run(main)
