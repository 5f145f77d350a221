"""From settings back to the command that composes them: which files of conf/, and which single keys."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import get_type_hints

import yaml

from mixste.errors import MixsteError
from mixste.settings.typed import build, flatten
from pipelines.params import Params
from pipelines.settings.composing import CONF, quoted

_WORD = re.compile(r"(?!(true|false|null|inf|nan)$)[a-z_][\w/.-]*", re.ASCII | re.IGNORECASE)  # Hydra takes it for text


def overrides(params: Params, *, model: str, conf: Path = CONF) -> list[str]:
    """Return what follows `make params` to compose these settings with conf/model/`model`.yaml as their model.

    A shell wants them quoted (`shlex.join`). Keys of lists of sections (data.sources) cannot be given there: they are
    taken from the nearest file. The study follows the data.
    """
    found = [f"model={model}"]
    for group, default in _groups(conf).items():
        if group != "model":
            found += _section(params, group, default, conf / group)
    return [*found, f"seed={params.seed}"]


def _groups(conf: Path) -> dict[str, str]:
    """The groups that are always chosen from, and their default choices."""
    entries = yaml.safe_load((conf / "config.yaml").read_text(encoding="utf-8"))["defaults"]
    pairs = [pair for entry in entries if isinstance(entry, Mapping) for pair in entry.items()]
    return {group: name for group, name in pairs if name is not None and "optional" not in group}


def _section(params: Params, group: str, default: str, folder: Path) -> Iterator[str]:
    """The file of a group that is nearest to the settings, if it is not the default, and the keys that still differ."""
    kind = get_type_hints(Params)[group]
    wanted = flatten(asdict(getattr(params, group)))
    candidates = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            there = build(kind, _read(path, group, params), str(path))
            candidates[path.stem] = _differing(wanted, flatten(asdict(there)))
        except MixsteError:  # a file that cannot be used was not chosen
            continue
    name = min(candidates, key=lambda name: (len(candidates[name]), name != default))
    if name != default:
        yield f"{group}={name}"
    yield from (f"{group}.{key}={_text(value)}" for key, value in candidates[name].items())


def _read(path: Path, group: str, params: Params) -> object:
    """A file of a group as it is beside the other sections, whose keys it may name as ${SECTION.KEY}."""
    from omegaconf import OmegaConf

    whole = OmegaConf.create({**asdict(params), group: OmegaConf.load(path)})
    return OmegaConf.to_container(whole[group], resolve=True)


def _differing(wanted: Mapping[str, object], there: Mapping[str, object]) -> dict[str, object]:
    differs = {key: value for key, value in wanted.items() if key not in there or there[key] != value}
    return {key: value for key, value in differs.items() if not any(part.isdecimal() for part in key.split("."))}


def _text(value: object) -> str:
    if isinstance(value, tuple | list):
        return "[" + ",".join(map(_text, value)) + "]"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return quoted(value) if isinstance(value, str) and not _WORD.fullmatch(value) else str(value)
