"""Register a model: models/NAME, reports/evaluation -> a version in MLflow's registry, reports/registered.json.

A version keeps what it was made of and its errors by clip. The alias moves only to one that is surely better than the
champion on the same test data, by the metric that the data set's protocol compares by (`pipelines.registry.gate`);
any number of registrations at once agree on which that is (`pipelines.registry.succession`).
"""

import json
import logging
from dataclasses import asdict, dataclass, replace
from functools import partial

from mixste.errors import MixsteError
from mixste.files.whole import whole_file
from mixste.scoring.paired import Comparison
from mixste.settings.typed import flatten
from pipelines import registry, tracking
from pipelines.params import Params, load
from pipelines.places import EVALUATION, REGISTERED
from pipelines.process.stage import run
from pipelines.registry import gate
from pipelines.registry.candidate import Candidate, beside, candidate, tags
from pipelines.registry.succession import (
    BEFORE,
    ROLLED_BACK,
    ROLLED_BACK_WHY,
    SURE,
    State,
    Version,
    settle,
)
from pipelines.tracking import store

log = logging.getLogger(__name__)
_SHOWN = 1000  # characters of a parameter on the model's page, for which MLflow has limits; params.yaml has all


@dataclass(frozen=True)
class Outcome:
    """What became of a model: its version (null: not registered), whether it is champion, why, and what that rests on.

    `against` is the version that it was compared with, `store` where the registry is.
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
    store: str
    against: str | None = None
    comparison: Comparison | None = None


def register(params: Params, model: Candidate, tracked: tracking.Tracked) -> Outcome:
    """Make or find the model's version and settle who is champion; without MLflow, say so."""
    settings = params.register
    named = settings.name, settings.alias, settings.model
    blank = Outcome(*named, None, False, "", model.headline, model.error, model.test_hash, store.name())
    if tracked.handle is not None:
        shelf = registry.Shelf(tracked.handle.uri, settings.name, settings.alias)
        try:
            return _outcome(blank, shelf, _registered(params, model, shelf, tracked.handle))
        except Exception as error:
            tracking.warn(tracked.handle.uri, error)
    return replace(blank, why="not registered, see the warning above; `dvc repro -f -s register` tries again")


def _registered(params: Params, model: Candidate, shelf: registry.Shelf, handle: store.Handle) -> "Standing":
    """The model's version and what stands once all agree; it is stored whole before there is a version of it."""
    lineage = tags(params, model)
    stored = None
    if shelf.same(model.identity) is None:
        with beside(lineage) as folder:
            settings = {key: str(value)[:_SHOWN] for key, value in flatten(params).items()}
            whole = registry.Storable(model.folder, model.example, model.example_params, folder, settings)
            stored = registry.log_model(handle, whole)
    with registry.taking_turns(shelf.uri, shelf.name):
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
        return Standing(number, state, settled.champion, already)


@dataclass(frozen=True)
class Standing:
    """Where a model has come to: its version, what the registry holds, who is champion, whether it was before."""

    number: int
    state: State
    champion: Version | None
    already: bool


def _outcome(blank: Outcome, shelf: registry.Shelf, standing: Standing) -> Outcome:
    """What became of a version by what stands now, compared with the champion, or with the one whose place it took."""
    own, alias = standing.state.version(standing.number), shelf.alias
    found = replace(blank, version=str(standing.number), champion=own is not None and own == standing.champion)
    if own is None or own.rolled_back:
        return replace(found, why=f"not {alias}: {_taken_back(own) if own else 'the version was deleted meanwhile'}")
    if found.champion and standing.already:
        return replace(found, why=f"{alias} already")
    other = standing.state.version(own.tags.get(BEFORE)) if found.champion else standing.champion
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


def main() -> None:
    """Run the stage; an MLflow that does not answer is a warning, not an error."""
    params = load()
    model = candidate(params)
    with tracking.run("register", params, data_hash=model.test_hash, parent=EVALUATION) as tracked:
        outcome = register(params, model, tracked)
        tracked.log_metrics({f"test_{metric}": value for metric, value in model.scores.items()})
    with whole_file(REGISTERED) as partial:
        partial.write_text(json.dumps(asdict(outcome), indent=2) + "\n", encoding="utf-8")
    version = f"{outcome.name} version {outcome.version}" if outcome.version else outcome.name
    log.info("%s: %s", version, outcome.why)


if __name__ == "__main__":
    run(main)
