"""A model that asks to be registered: what is known of it, and what its version will say of itself."""

import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import mixste
from mixste.errors import MixsteError
from mixste.files.hashing import data_hash
from mixste.geometry import denormalise_screen
from mixste.models.checkpoint import WEIGHTS, ModelConfig, read_config
from mixste.scoring.paired import read_clip_errors
from mixste.scoring.protocols import PROTOCOLS
from mixste.scoring.scores import ERRORS
from mixste.sequences import read_sequences
from pipelines import registry, tracking
from pipelines.params import PARAMS, Params
from pipelines.places import ALL_MODELS, EVALUATION, METRICS, PER_CLIP, RIG, tables
from pipelines.provenance import git_state
from pipelines.registry.succession import HEADLINE, SURE, TEST_DATA

EXAMPLE_SIZE = (1000, 1000)
_ROUNDING = 0.002  # mm: errors by clip are written with three decimals


@dataclass(frozen=True)
class Candidate:
    """A model folder with what is known of it; `headline` is the metric that it is compared by.

    `example` is keypoints `t j c` of the test data, in pixels of an image of EXAMPLE_SIZE.
    """

    folder: Path
    config: ModelConfig
    headline: str
    scores: dict[str, float]
    test_hash: str
    weights_hash: str
    example: np.ndarray

    @property
    def example_params(self) -> dict[str, object]:
        """What the example is, as a server is told it (`mixste.payload`)."""
        return {"skeleton": self.config.skeleton, "fps": self.config.fps, "image_size": list(map(float, EXAMPLE_SIZE))}

    @property
    def error(self) -> float:
        """The test error (mm) that it is compared by."""
        return self.scores[self.headline]

    @property
    def identity(self) -> dict[str, object]:
        """The tags that two registrations of the same model and code on the same test share."""
        code = sorted(path for kind in ("*.py", "*.[ch]") for path in Path(mixste.__file__).parent.rglob(kind))
        return {
            "weights_hash": self.weights_hash,
            "code_hash": data_hash(code),
            TEST_DATA: self.test_hash,
            HEADLINE: self.headline,
        }


def candidate(params: Params) -> Candidate:
    """Read the model that conf names, its scores and its test data; MixsteError if one is missing."""
    name = params.register.model
    test = tables(RIG, params.data.split.test)
    folder = ALL_MODELS / name
    config = read_config(folder)
    if config.kind != "lifter":
        raise MixsteError(
            f"cannot register {folder}",
            found=f"a {config.kind} network, which lifts nothing",
            mend="set register.model to finetuned or scratch",
        )
    sequences = read_sequences(test[:1], skeleton=config.skeleton, fps=config.fps)
    example = sequences.keypoints[: config.model.frames, :, : config.model.channels].numpy()
    scores, test_hash, scored = read_scores(METRICS, name)
    weights_hash = data_hash(folder / WEIGHTS)
    _refuse_other_weights(folder, weights_hash, scored)
    headline = PROTOCOLS[params.data.protocol].headline
    _refuse_other_mean(read_clip_errors(PER_CLIP, name, headline).mean, scores[headline])
    example[..., :2] = denormalise_screen(example[..., :2], *EXAMPLE_SIZE)
    return Candidate(folder, config, headline, scores, test_hash, weights_hash, example)


def read_scores(path: Path, model: str) -> tuple[dict[str, float], str, str]:
    """Return a model's test errors (mm), the hashes of the test data and of its weights, as `evaluate` wrote them."""
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
        scores = {name: float(metrics[model][name]) for name in ERRORS}
        test_data, weights = str(metrics["test_data"]), str(metrics["weights_hash"][model])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MixsteError(
            f"cannot read the test scores of {model} in {path}", found=repr(error), mend="run `dvc repro evaluate`"
        ) from error
    wrong = [f"{name} {value}" for name, value in scores.items() if not math.isfinite(value)]
    if wrong:
        raise MixsteError(f"cannot register {model}", found=", ".join(wrong), expected="finite test errors")
    return scores, test_data, weights


def _refuse_other_weights(folder: Path, present: str, scored: str) -> None:
    if present != scored:
        raise MixsteError(
            f"{METRICS} holds the scores of other weights than {folder / WEIGHTS}",
            found=f"weights_hash {scored} and {present}",
            expected="scores of the model that is registered",
            mend="run evaluate again: `dvc repro -f -s evaluate`",
        )


def _refuse_other_mean(by_clip: float, mean: float) -> None:
    if abs(by_clip - mean) > _ROUNDING:
        raise MixsteError(
            f"{PER_CLIP} and {METRICS} are not of the same evaluation",
            found=f"a mean of {by_clip:.3f} and of {mean:.3f} mm",
            mend="run `dvc repro -f -s evaluate`",
        )


def tags(params: Params, model: Candidate) -> dict[str, object]:
    """Return what a version says of itself: commit, data, runs before it, scores, skeleton, unit, frame, licence."""
    config, (commit, dirty) = model.config, git_state()
    captures, parent = Path(params.data.folder), config.provenance.get("parent")
    return {
        **model.identity,
        **{f"test_{metric}_mm": value for metric, value in model.scores.items()},
        **_runs(model.folder),
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


def _runs(folder: Path) -> dict[str, str]:
    """The run that made this model, the one that made what it began with, and the one that scored it."""
    made = tracking.run_of(folder)
    runs = {"run": made, "run_parent": made and tracking.parent_of(made), "run_evaluate": tracking.run_of(EVALUATION)}
    return {key: value or "unknown" for key, value in runs.items()}


@contextmanager
def beside(lineage: Mapping[str, object]) -> Iterator[Path]:
    """A folder of what a version keeps beside its weights: its lineage, all parameters, its scores, also by clip."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / registry.AS_REGISTERED
        folder.mkdir()
        text = json.dumps({key: str(value) for key, value in lineage.items()}, indent=2) + "\n"
        (folder / "lineage.json").write_text(text, encoding="utf-8")
        for path in (PARAMS, METRICS, PER_CLIP):
            shutil.copyfile(path, folder / path.name)
        yield folder
