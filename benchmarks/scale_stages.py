"""The work of every stage as `benchmarks.scale` gives it to a worker: what a task does, again and again."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from mixste.cameras import load_rig
from mixste.inference import lift_sequences
from mixste.machine.memory import memory_peak_gib
from mixste.models import build_model
from mixste.scoring.scores import score
from mixste.sequences import read_sequences
from mixste.skeleton import load_skeleton
from mixste.training.jobs import TrainingJob
from pipelines.params import Params
from pipelines.tasks.captured import Subject, find_subjects, prepare_subject
from pipelines.tasks.projected import Task, project_file

WINDOWS, SEQUENCES = 16, 4


@dataclass(frozen=True)
class Place:
    """What all workers share: settings, one subject's captures, and the folder of its tables."""

    params: Params
    subject: Subject
    folder: Path

    def task(self, kind: str, folder: Path) -> Task:
        """The task of project for one kind of projection."""
        params, data = self.params, self.params.data
        rig = load_rig(params.project.rig.cameras)
        return Task(self.subject.path, (kind,), folder, data.skeleton, data.fps, params.project, rig, params.seed)


@dataclass(frozen=True)
class Worker:
    """One process: its number among all, the place, and its own folder."""

    place: Place
    rank: int
    world: int
    folder: Path


def prepare(worker: Worker) -> Iterator[int]:
    """Captures to recordings."""
    while True:
        yield prepare_subject(replace(worker.place.subject, path=worker.folder / "a-b.parquet"))[1].frames


def project(kind: str) -> Callable[[Worker], Iterator[int]]:
    """Recordings to projections of one kind."""

    def run(worker: Worker) -> Iterator[int]:
        (worker.folder / kind).mkdir()
        while True:
            yield project_file(worker.place.task(kind, worker.folder))[1].frames

    return run


def train(worker: Worker) -> Iterator[int]:
    """Epochs of pre-training, the first of which is not measured; frames of this worker's share."""
    params, table = worker.place.params, worker.place.folder / "random" / worker.place.subject.path.name
    if worker.world > 1:
        meeting = f"file://{worker.folder.parent}/meeting"
        distributed.init_process_group("gloo", init_method=meeting, rank=worker.rank, world_size=worker.world)
    training = replace(
        params.pretrain,
        batch_size=params.pretrain.batch_size * worker.world,
        windows_per_epoch=WINDOWS * worker.world,
        validation_windows=1,
        epochs=1000,
    )
    about = {"skeleton": params.data.skeleton, "fps": params.data.fps, "seed": params.seed}
    job = TrainingJob(
        model=params.model, training=training, train=(table,), validation=(table,),
        precision=params.cluster.precision, **about,
    )  # fmt: skip
    trainer = job.trainer(device=torch.device("cpu"), rank=worker.rank, world=worker.world)
    for _ in trainer.epochs():
        yield WINDOWS * params.model.frames


def evaluate(worker: Worker) -> Iterator[int]:
    """Lifting and scoring of rig views, as the stage does it with one model; the stage itself is one process."""
    params, table = worker.place.params, worker.place.folder / "rig" / worker.place.subject.path.name
    sequences = read_sequences([table], skeleton=params.data.skeleton, fps=params.data.fps)
    sequences = sequences.select(range(min(SEQUENCES, len(sequences))))
    skeleton = load_skeleton(params.data.skeleton)
    model, flip = build_model(params.model, joints=len(skeleton.joints)), torch.tensor(skeleton.flip)
    while True:
        lifted = lift_sequences(model, sequences, flip=flip if params.evaluate.flip else None)
        score(lifted, sequences)
        yield sequences.frames


STAGES = {
    "prepare": prepare,
    "project, random views": project("random"),
    "project, rig": project("rig"),
    "train": train,
    "evaluate": evaluate,
}


def work(stage: str, worker: Worker, cores: set[int], repeats: int, barrier: Any, results: Any) -> None:
    """Run a stage's work once to warm up, then `repeats` times together with the other workers."""
    os.sched_setaffinity(0, cores)
    torch.set_num_threads(len(cores))
    worker.folder.mkdir(parents=True)
    steps = STAGES[stage](worker)
    next(steps)
    for repeat in range(repeats):
        barrier.wait()
        started, cpu = time.perf_counter(), time.process_time()
        frames = next(steps)
        results.put((repeat, frames, time.perf_counter() - started, time.process_time() - cpu, memory_peak_gib()))
    barrier.wait()


def make_place(params: Params, folder: Path, files: int) -> Place:
    """Prepare and project the first files of the first subject."""
    subject = find_subjects(params.data, folder)[0]
    subject = replace(subject, trials=subject.trials[:files])
    prepare_subject(subject)
    place = Place(params, subject, folder)
    for kind in ("random", "rig"):
        (folder / kind).mkdir()
        project_file(place.task(kind, folder))
    return place
