"""Typed settings: `load()` reads params.yaml; `python -m pipelines.params data=cmu` composes it from conf/."""

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixste.cameras import FOLDER as CAMERAS
from mixste.errors import MixsteError, counted, did_you_mean
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
from pipelines.settings.data import DataSettings

CONF = Path("conf")
PARAMS = Path("params.yaml")
_CHOICE = re.compile(r"~\w.*|\+{0,2}\w[\w./@:$-]*=.*", re.DOTALL)
_HYDRAS = re.compile(r"""[\w/\\+.%*@?|: -]*|['"[{].*|\w+\(.*\)""", re.ASCII)  # values that its grammar can read
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


def quoted(text: str) -> str:
    """Return text as a value of an override that Hydra reads as this text, whatever is in it."""
    from hydra.core.override_parser.types import Quote, QuotedString

    return QuotedString(text, Quote.double).with_quotes()


def check_choices(choices: Sequence[str], example: str) -> None:
    """MixsteError unless each choice of a command line is KEY=VALUE."""
    if strange := [text for text in choices if not _CHOICE.fullmatch(text)]:
        expected = f"KEY=VALUE without spaces around =, as {example}"
        raise MixsteError("these choices cannot be read", found=" ".join(strange), expected=expected)


def _override(text: str, conf: Path) -> str:
    """An override as Hydra can read it: a URI or a sentence behind `=` needs no quotes of its own.

    A key that does not exist is set all the same: `build` knows the keys and refuses it with a suggestion.
    """
    key, equals, value = text.partition("=")
    chosen = (conf / key.partition("@")[0]).is_dir() and not value.startswith("{")  # a file of a group
    forced = "" if chosen or key[0] in "+~" else "++"
    return f"{forced}{key}{equals}{value if _HYDRAS.fullmatch(value) else quoted(value)}"


def compose(overrides: Sequence[str] = (), conf: Path = CONF) -> Any:
    """Compose `conf` as Hydra does, with overrides like `data=cmu` or `finetune.epochs=5`; MixsteError if it cannot."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException, MissingConfigException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    check_choices(overrides, "data=sample")
    what = f"cannot compose {conf} with {' '.join(overrides) or 'its defaults'}"
    for group, _, name in (text.partition("=") for text in overrides):  # Hydra passes over one of an optional group
        file = conf / group.lstrip("+") / f"{name}.yaml"
        if re.fullmatch(r"\w+", name) and name != "null" and file.parent.is_dir() and not file.exists():
            raise _absent(what, file)
    try:
        with initialize_config_dir(str(conf.resolve()), version_base=None):
            composed = hydra_compose("config", overrides=[_override(text, conf) for text in overrides])
        OmegaConf.resolve(composed)
    except MissingConfigException as error:
        raise _absent(what, conf / f"{error.missing_cfg_file}.yaml") from error
    except (HydraException, OmegaConfBaseException, TypeError, ValueError) as error:  # Hydra's are not all of its kind
        found = (str(error.__cause__ or error).splitlines() or [""])[0]
        expected = "GROUP=NAME of a file in conf/, or KEY=VALUE of a key there"
        raise MixsteError(what, found=found, expected=expected) from error
    return composed


def _absent(what: str, file: Path) -> MixsteError:
    there = sorted(path.stem for path in file.parent.glob("*.yaml"))
    expected = f"one of {', '.join(there)}{did_you_mean(file.stem, there)}" if there else f"that {file} exists"
    return MixsteError(what, found=f"no {file}", expected=expected)


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


if __name__ == "__main__":
    run(main)
