"""A whole training in one plain value: model, data, objective and settings, wherever and by whatever it is run."""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch

from mixste.errors import MixsteError, counted
from mixste.files.hashing import data_hash
from mixste.files.whole import whole_file, whole_folder
from mixste.machine.hardware import cores_worth, enough_memory
from mixste.models import MaskedModel, PoseModel, build_masked, build_model
from mixste.models.checkpoint import WEIGHTS, ModelConfig, read_config, save_model
from mixste.models.transfer import Transfer, transfer
from mixste.recipe import Execution, FinetuneSettings, MaskSettings, ModelSettings, PretrainSettings
from mixste.sequences import SequenceTables, choose_fraction, open_sequences
from mixste.skeleton import load_skeleton
from mixste.table import Metadata, read_metadata
from mixste.training import PLAIN, Trainer
from mixste.training.objectives import ERROR_2D, MPJPE, MPJPE_ON_SCREEN, Lift, Masked, Metric, Objective, Supervised
from mixste.training.optimisation import shrink_outputs
from mixste.training.state import FILE, kept_weights, read_state, restore_training, save_training

# The code and data of the library (LIBRARY) that a training's numbers depend on; a test holds them against the imports.
LIBRARY = Path(__file__).parents[1]
CODE = (
    *("corruption.py", "geometry.py", "inference.py", "losses.py", "metrics.py", "models/**/*.py", "models/**/*.[ch]"),
    *("recipe.py", "seeds.py", "sequences.py", "skeleton.py", "skeletons/*.yaml", "table.py", "training/*.py"),
    "windows.py",
)


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """Everything that decides a model's weights; `parent` is the model folder to start from, if any."""

    model: ModelSettings
    training: PretrainSettings | FinetuneSettings
    train: tuple[Path, ...]
    validation: tuple[Path, ...]
    skeleton: str
    fps: float
    seed: int
    fraction: float = 1.0
    parent: Path | None = None
    precision: str = "fp32"

    def trainer(self, *, device: torch.device, rank: int = 0, world: int = 1, execution: Execution = PLAIN) -> Trainer:
        """Build model and data; raises MixsteError for data or a parent that does not fit."""
        skeleton = load_skeleton(self.skeleton)
        mend = "end what else takes that memory, or share the data among more workers, cluster.workers"
        with enough_memory("the model and its data", mend):
            return Trainer(
                self._model(len(skeleton.joints)),
                self._objective(skeleton.joints, device),
                self._data(),
                open_sequences(self.validation, skeleton=self.skeleton, fps=self.fps),
                self.training,
                flip=skeleton.flip,
                seed=self.seed,
                device=device,
                precision=self.precision,
                rank=rank,
                world=world,
                execution=execution,
            )

    def amount(self) -> str:
        """How much there is to train on, every view of a clip by itself, and how often an epoch sees it, in words."""
        lengths, model = self._data().offsets.diff(), self.model
        frames, span, drawn = int(lengths.sum()), model.span, self.training.windows_per_epoch
        short = int((lengths < span).sum()) if model.output == "sequence" else 0
        told = f"{counted(len(lengths), 'sequence')}, {frames / self.fps / 60:.1f} minutes with all views"
        told += f", {short} of them shorter than the model's {span} frames" if short else ""
        seen = (drawn or 0) * (model.frames if model.output == "sequence" else 1) / max(frames, 1)
        return told + (f"; an epoch sees each frame {seen:.1f} times on average" if drawn else "")

    def cores_worth(self, world: int = 1) -> int:
        """How many cores a process's share of a batch is worth, when `world` processes share it."""
        with torch.device("meta"):
            model = build_model(self.model, joints=len(load_skeleton(self.skeleton).joints))
        macs = model.linear_macs(self.model.frames) * self.training.batch_size / world
        return cores_worth(macs)

    def transferred(self) -> Transfer | None:
        """What the model takes over from its parent; raises MixsteError for a parent that does not fit."""
        if self.parent is None:
            return None
        model = build_model(self.model, joints=len(load_skeleton(self.skeleton).joints))
        return transfer(model, self.parent, skeleton=self.skeleton, unit=self.about.unit)

    @property
    def masks(self) -> MaskSettings | None:
        """The masks of masked pre-training, which trains another network than a lifter; None in all other trainings."""
        return self.training.masks if isinstance(self.training, PretrainSettings) else None

    @property
    def metric(self) -> Metric:
        """What validation measures."""
        if self.masks is not None:
            return ERROR_2D
        return MPJPE if self.about.unit == "m" else MPJPE_ON_SCREEN

    @property
    def about(self) -> Metadata:
        """What the tables are that it trains on; raises MixsteError where there are none."""
        if not self.train:
            raise MixsteError("nothing to train on", found="no projection tables", mend="check data.split")
        return read_metadata(self.train[0])

    def data_hash(self) -> str:
        """Hash of the bytes of every table that the job reads."""
        return data_hash((*self.train, *self.validation))

    def fingerprint(self) -> str:
        """Hash of settings, data, parent weights and the code that trains: equal jobs end in equal weights."""
        data = {"train": data_hash(self.train), "validation": data_hash(self.validation)}
        values = {**asdict(self), **data, "parent": self._parent_hash()}
        digest = hashlib.md5(repr(sorted(values.items())).encode(), usedforsecurity=False)
        for path in (path for pattern in CODE for path in sorted(LIBRARY.glob(pattern))):
            digest.update(path.read_bytes())
        return digest.hexdigest()[:12]

    def config(self, provenance: dict[str, Any]) -> ModelConfig:
        """What the trained model's folder says of it."""
        kind = "lifter" if self.masks is None else "masked"
        return ModelConfig(
            model=self.model,
            skeleton=self.skeleton,
            fps=self.fps,
            kind=kind,
            unit=self.about.unit,
            provenance=provenance,
        )

    def parent_provenance(self) -> dict[str, Any] | None:
        """Where the parent model came from."""
        return None if self.parent is None else read_config(self.parent).provenance

    def _data(self) -> SequenceTables:
        data = open_sequences(self.train, skeleton=self.skeleton, fps=self.fps)
        return data.only(choose_fraction(data, self.fraction, self.seed))

    def _parent_hash(self) -> str | None:
        if self.parent is None:
            return None
        return data_hash(self.parent / WEIGHTS)

    def _model(self, joints: int) -> PoseModel | MaskedModel:
        torch.manual_seed(self.seed)
        if self.masks is not None:
            masked = build_masked(self.model, joints=joints)
            shrink_outputs(masked, self.training.optimiser.output_share)
            return masked
        model = build_model(self.model, joints=joints)
        shrink_outputs(model, self.training.optimiser.output_share)
        if self.parent is not None:
            transfer(model, self.parent, skeleton=self.skeleton, unit=self.about.unit)
        return model

    def _objective(self, joints: Sequence[str], device: torch.device) -> Objective:
        training = self.training
        if isinstance(training, FinetuneSettings):
            return Supervised(training.loss, skeleton=self.skeleton, joints=len(joints), device=device)
        if training.corruption is not None and training.loss is not None:
            return Lift(training.corruption, training.loss, joints=joints)
        return Masked(cast(MaskSettings, training.masks), joints=len(joints))


def run_job(job: TrainingJob, folder: Path, provenance: dict[str, Any], execution: Execution = PLAIN) -> float:
    """Train in this process on one thread, or go on, with the state in `folder` and the model in `folder/model`.

    `provenance` goes into the model's config. Returns the validation score of the weights that are kept.
    """
    torch.set_num_threads(1)
    if not (folder / "model").exists():
        trainer = job.trainer(device=torch.device("cpu"), execution=execution)
        if (folder / FILE).exists():
            restore_training(folder, trainer)
        for _ in trainer.epochs():
            save_training(folder, trainer)
        write_model(folder / "model", folder, job, provenance)
    return read_state(folder).kept_score


def write_model(output: Path, folder: Path, job: TrainingJob, provenance: dict[str, Any]) -> None:
    """Write the kept weights of a finished training as a model folder with its history."""
    state, transferred = read_state(folder), job.transferred()
    about = {
        "epoch": state.kept_epoch,
        job.metric.key: state.kept_score,
        "parent": job.parent_provenance(),
        "transferred": transferred and asdict(transferred),
    }
    with whole_folder(output) as partial:
        save_model(partial, kept_weights(folder), job.config({**provenance, **about}))
        write_history(partial / "history.csv", state.history)


def write_history(path: Path, history: Sequence[dict[str, float]]) -> None:
    """Write one row an epoch: losses in metres, MPJPE in mm; of masked pre-training, screen units and their 1e-3."""
    with whole_file(path) as partial, partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(history[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows([{key: f"{value:.8g}" for key, value in row.items()} for row in history])
