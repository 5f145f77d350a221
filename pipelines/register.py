"""Register a model: models/NAME, metrics.json -> a version in MLflow's registry, reports/registered.json.

The alias moves only to a version whose test error on the same test data, by the metric that the data set's protocol
compares by, is lower than that of the version it stands at.
"""

import json
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

import mixste
from mixste.errors import MixsteError
from mixste.files import whole_file
from mixste.models.checkpoint import WEIGHTS, ModelConfig, read_config
from mixste.protocols import PROTOCOLS
from mixste.scoring import METRICS as ERRORS
from mixste.sequences import read_sequences
from pipelines import registry, store, tracking
from pipelines.params import Params, load
from pipelines.places import EVALUATION, METRICS, MODELS, REGISTERED, RIG, tables
from pipelines.provenance import data_hash, git_state
from pipelines.stage import run

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What became of a model: its version (null: not registered), whether the alias moved to it, and why."""

    name: str
    alias: str
    model: str
    version: str | None
    champion: bool
    why: str
    metric: str
    test_error_mm: float
    test_data_hash: str


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
            "test_data_hash": self.test_hash,
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
    return Candidate(folder, config, PROTOCOLS[params.data.protocol].headline, scores, test_hash, example)


def read_scores(path: Path, model: str) -> tuple[dict[str, float], str]:
    """Return a model's test errors (mm) and the hash of the test data, as `evaluate` wrote them."""
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        return {name: float(metrics[model][name]) for name in ERRORS}, str(metrics["test_data"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MixsteError(
            f"cannot read the test scores of {model} in {path}", found=repr(error), mend="run `dvc repro evaluate`"
        ) from error


def register(params: Params, model: Candidate, tracked: tracking.Tracked) -> Outcome:
    """Make or find the model's version and move the alias if it has earned it; without MLflow, say so."""
    settings = params.register
    named = settings.name, settings.alias, settings.model
    blank = Outcome(*named, None, False, "", model.headline, model.error, model.test_hash)
    if tracked.handle is not None:
        try:
            version, champion, why = _registered(params, model, tracked.handle)
            return replace(blank, version=version, champion=champion, why=why)
        except Exception as error:
            tracking.warn(tracked.handle.uri, error)
    return replace(blank, why="not registered, see the warning above; `dvc repro -f register` tries again")


def _registered(params: Params, model: Candidate, handle: store.Handle) -> tuple[str, bool, str]:
    name, alias = params.register.name, params.register.alias
    best = registry.at_alias(handle.uri, name, alias)
    version = registry.same_version(handle.uri, name, model.identity)
    if version is None:
        location = registry.log_model(handle, model.folder, model.config, model.example)
        version = registry.add_version(handle, name, location, tags(params, model))
    if best is not None and best.number == version:
        return version, True, f"{alias} already"
    wins, why = registry.verdict(model.headline, model.error, model.test_hash, best, alias)
    if wins:
        registry.move_alias(handle.uri, name, alias, version)
    return version, wins, why


def tags(params: Params, model: Candidate) -> dict[str, object]:
    """Return what a version says of itself: commit, data, runs before it, scores, skeleton, unit, frame, licence."""
    config, (commit, dirty) = model.config, git_state()
    captures = Path(params.data.folder)
    made = {"pretrain": "pretrained", "finetune": "finetuned", "scratch": "scratch"}
    outputs = {stage: MODELS[name] for stage, name in made.items()} | {"evaluate": EVALUATION}
    runs = {f"run_{stage}": tracking.run_of(output) for stage, output in outputs.items()}
    return {
        **model.identity,
        **{f"test_{metric}_mm": value for metric, value in model.scores.items()},
        **{key: value for key, value in runs.items() if value is not None},
        "git_commit": commit,
        "git_dirty": str(dirty).lower(),
        "data": params.data.name,
        "captures_hash": data_hash(captures) if captures.exists() else "unknown",
        "data_hash": config.provenance.get("data_hash", "unknown"),
        "synthetic": str(params.data.synthetic).lower(),
        "licence": config.provenance.get("licence", params.data.licence),
        "skeleton": config.skeleton,
        "unit": config.unit,
        "frame": config.frame,
        "fps": config.fps,
    }


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
