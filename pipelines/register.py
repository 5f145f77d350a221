"""Register a model: models/NAME, reports/evaluation -> a version in MLflow's registry, reports/registered.json.

A version keeps what it was made of and its errors by clip. The alias moves only to one that is surely better than the
champion on the same test data, by the metric that the data set's protocol compares by (`pipelines.gate`); any number of
registrations at once agree on which that is (`pipelines.succession`).
"""

import json
import logging
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

import mixste
from mixste.errors import MixsteError
from mixste.files import whole_file
from mixste.models.checkpoint import WEIGHTS, ModelConfig, read_config
from mixste.paired import Comparison, read_clip_errors
from mixste.protocols import PROTOCOLS
from mixste.scoring import METRICS as ERRORS
from mixste.sequences import read_sequences
from pipelines import gate, registry, store, tracking
from pipelines.params import PARAMS, Params, load
from pipelines.places import METRICS, PER_CLIP, REGISTERED, RIG, tables
from pipelines.provenance import data_hash, git_state
from pipelines.stage import run
from pipelines.succession import (
    BEFORE,
    HEADLINE,
    ROLLED_BACK,
    ROLLED_BACK_WHY,
    SURE,
    TEST_DATA,
    State,
    Version,
    settle,
)

log = logging.getLogger(__name__)
_ROUNDING = 0.002  # mm: errors by clip are written with three decimals


@dataclass(frozen=True)
class Outcome:
    """What became of a model: its version (null: not registered), whether it is champion, why, and what that rests on.

    `against` is the version that it was compared with.
    """

    name: str
    alias: str
    model: str
    version: str | None
    champion: bool
    why: str
    metric: str
    test_error_mm: float
    test_data_hash: str
    against: str | None = None
    comparison: Comparison | None = None


@dataclass(frozen=True)
class Candidate:
    """A model folder with what is known of it; `headline` is the metric that it is compared by."""

    folder: Path
    config: ModelConfig
    headline: str
    scores: dict[str, float]
    test_hash: str
    example: np.ndarray

    @property
    def error(self) -> float:
        """The test error (mm) that it is compared by."""
        return self.scores[self.headline]

    @property
    def identity(self) -> dict[str, object]:
        """The tags that two registrations of the same model and code on the same test share."""
        code = sorted(Path(mixste.__file__).parent.rglob("*.py"))
        return {
            "weights_hash": data_hash(self.folder / WEIGHTS),
            "code_hash": data_hash(code),
            TEST_DATA: self.test_hash,
            HEADLINE: self.headline,
        }


def candidate(params: Params) -> Candidate:
    """Read the model that conf names, its scores and its test data; MixsteError if one is missing."""
    name = params.register.model
    test = tables(RIG, params.data.split.test)
    folder = Path("models") / name
    config = read_config(folder)
    if config.kind != "lifter":
        raise MixsteError(
            f"cannot register {folder}",
            found=f"a {config.kind} network, which lifts nothing",
            mend="set register.model to finetuned or scratch",
        )
    sequences = read_sequences(test[:1], skeleton=config.skeleton, fps=config.fps)
    example = sequences.keypoints[: config.model.frames, :, : config.model.channels].numpy()[None]
    scores, test_hash = read_scores(METRICS, name)
    headline = PROTOCOLS[params.data.protocol].headline
    _refuse_other_mean(read_clip_errors(PER_CLIP, name, headline).mean, scores[headline])
    return Candidate(folder, config, headline, scores, test_hash, example)


def read_scores(path: Path, model: str) -> tuple[dict[str, float], str]:
    """Return a model's test errors (mm) and the hash of the test data, as `evaluate` wrote them."""
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        scores = {name: float(metrics[model][name]) for name in ERRORS}
        test_data = str(metrics["test_data"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MixsteError(
            f"cannot read the test scores of {model} in {path}", found=repr(error), mend="run `dvc repro evaluate`"
        ) from error
    wrong = [f"{name} {value}" for name, value in scores.items() if not math.isfinite(value)]
    if wrong:
        raise MixsteError(f"cannot register {model}", found=", ".join(wrong), expected="finite test errors")
    return scores, test_data


def _refuse_other_mean(by_clip: float, mean: float) -> None:
    if abs(by_clip - mean) > _ROUNDING:
        raise MixsteError(
            f"{PER_CLIP} and {METRICS} are not of the same evaluation",
            found=f"a mean of {by_clip:.3f} and of {mean:.3f} mm",
            mend="run `dvc repro -f evaluate`",
        )


def register(params: Params, model: Candidate, tracked: tracking.Tracked) -> Outcome:
    """Make or find the model's version and settle who is champion; without MLflow, say so."""
    settings = params.register
    named = settings.name, settings.alias, settings.model
    blank = Outcome(*named, None, False, "", model.headline, model.error, model.test_hash)
    if tracked.handle is not None:
        shelf = registry.Shelf(tracked.handle.uri, settings.name, settings.alias)
        try:
            return _outcome(blank, shelf, _registered(params, model, shelf, tracked.handle))
        except Exception as error:
            tracking.warn(tracked.handle.uri, error)
    return replace(blank, why="not registered, see the warning above; `dvc repro -f register` tries again")


def _registered(params: Params, model: Candidate, shelf: registry.Shelf, handle: store.Handle) -> "Place":
    """The model's version and what stands once all agree; it is stored whole before there is a version of it."""
    lineage = tags(params, model)
    stored = None
    if shelf.same(model.identity) is None:
        with _beside(lineage) as beside:
            settings = {key: str(value) for key, value in tracking.flatten(params).items()}
            whole = registry.Storable(model.folder, model.config, model.example, beside, settings)
            stored = registry.log_model(handle, whole)
    with registry.in_turn(shelf.uri, shelf.name):
        number = shelf.same(model.identity)
        if number is None and stored is not None:
            number = shelf.add(handle.run_id, stored, lineage, model.identity)
        elif stored is not None:
            shelf.client.delete_logged_model(stored)
        if number is None:
            raise MixsteError("the version of this model was deleted in this moment", mend="register it again")
        shelf.tag(number, {SURE: params.register.sure})
        already = shelf.state().alias == number
        state, settled = settle(shelf, partial(gate.judge, shelf.alias, shelf.clip_errors))
        return Place(number, state, settled.champion, already)


@dataclass(frozen=True)
class Place:
    """Where a model has come to: its version, what the registry holds, who is champion, whether it was before."""

    number: int
    state: State
    champion: Version | None
    already: bool


def _outcome(blank: Outcome, shelf: registry.Shelf, place: Place) -> Outcome:
    """What became of a version by what stands now, compared with the champion, or with the one whose place it took."""
    own, alias = place.state.version(place.number), shelf.alias
    found = replace(blank, version=str(place.number), champion=own is not None and own == place.champion)
    if own is None or own.rolled_back:
        return replace(found, why=f"not {alias}: {_taken_back(own) if own else 'the version was deleted meanwhile'}")
    if found.champion and place.already:
        return replace(found, why=f"{alias} already")
    other = place.state.version(own.tags.get(BEFORE)) if found.champion else place.champion
    verdict = gate.judge(alias, shelf.clip_errors, own, other)
    why = verdict.why
    if other is not None and verdict.wins and not found.champion:
        why = f"not {alias}: version {other.number}, which is later, stands there; {_choose(own)}"
    return replace(found, why=why, against=str(other.number) if other else None, comparison=verdict.comparison)


def _taken_back(version: Version) -> str:
    when, why = version.tags[ROLLED_BACK], version.tags.get(ROLLED_BACK_WHY) or "no reason given"
    return f"version {version.number} was rolled back on {when} ({why}); {_choose(version)}"


def _choose(version: Version) -> str:
    return f"`python -m pipelines.rollback --to {version.number}` makes it champion"


@contextmanager
def _beside(lineage: Mapping[str, object]) -> Iterator[Path]:
    """A folder of what a version keeps beside its weights: its lineage, all parameters, its scores, also by clip."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / registry.AS_REGISTERED
        folder.mkdir()
        text = json.dumps({key: str(value) for key, value in lineage.items()}, indent=2) + "\n"
        (folder / "lineage.json").write_text(text, encoding="utf-8")
        for path in (PARAMS, METRICS, PER_CLIP):
            shutil.copyfile(path, folder / path.name)
        yield folder


def tags(params: Params, model: Candidate) -> dict[str, object]:
    """Return what a version says of itself: commit, data, runs before it, scores, skeleton, unit, frame, licence."""
    config, (commit, dirty) = model.config, git_state()
    captures, parent = Path(params.data.folder), config.provenance.get("parent")
    return {
        **model.identity,
        **{f"test_{metric}_mm": value for metric, value in model.scores.items()},
        **_runs(),
        registry.MODEL: params.register.model,
        SURE: params.register.sure,
        "params_hash": data_hash(PARAMS),
        "git_commit": commit,
        "git_dirty": str(dirty).lower(),
        "data": params.data.name,
        "captures_hash": data_hash(captures) if captures.exists() else "unknown",
        "data_hash": config.provenance.get("data_hash", "unknown"),
        **({"parent_data_hash": parent.get("data_hash", "unknown")} if parent else {}),
        "synthetic": str(params.data.synthetic).lower(),
        "licence": config.provenance.get("licence", params.data.licence),
        "skeleton": config.skeleton,
        "unit": config.unit,
        "frame": config.frame,
        "fps": config.fps,
    }


def _runs() -> dict[str, str]:
    """The runs that a version was made by."""
    runs = {f"run_{stage}": tracking.last_run(stage) for stage in ("pretrain", "finetune", "scratch", "evaluate")}
    return {key: value for key, value in runs.items() if value is not None}


def main() -> None:
    """Run the stage; an MLflow that does not answer is a warning, not an error."""
    params = load()
    model = candidate(params)
    with tracking.run("register", params, data_hash=model.test_hash, parent="evaluate") as tracked:
        outcome = register(params, model, tracked)
        tracked.log_metrics({f"test_{metric}": value for metric, value in model.scores.items()})
    with whole_file(REGISTERED) as partial:
        partial.write_text(json.dumps(asdict(outcome), indent=2) + "\n", encoding="utf-8")
    version = f"{outcome.name} version {outcome.version}" if outcome.version else outcome.name
    log.info("%s: %s", version, outcome.why)


if __name__ == "__main__":
    run(main)
