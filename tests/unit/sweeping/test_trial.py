"""One trial in its worker: every epoch reported, gone on with to the same weights, pre-trained once, failing alone."""

from dataclasses import replace

import pytest
import torch

from mixste.recipe import Execution
from mixste.training.jobs import TrainingJob
from mixste.training.state import kept_weights, read_state
from pipelines.sweeping import trial
from pipelines.sweeping.trial import FAILURE, Work, run_trial, seconds, train_trial
from tests.unit.factories import (
    FPS,
    SKELETON,
    finetune_settings,
    model_settings,
    mpm_settings,
    optimiser_settings,
    pretrain_settings,
    sequences,
    write_projections,
)


class Killed(BaseException):
    """What no trial can catch."""


@pytest.fixture
def work(tmp_path):
    paths = [write_projections(tmp_path / f"s-{n}.parquet", sequences((12, 10), seed=n)) for n in range(2)]
    tuning = TrainingJob(
        model=model_settings(drop_path=0.0),
        training=finetune_settings(batch_size=2, validation_windows=2),
        train=(paths[0],),
        validation=(paths[1],),
        skeleton=SKELETON,
        fps=FPS,
        seed=0,
    )
    how = {"threads": 1, "gpu": False, "execution": Execution(recompute=True)}
    return Work(tmp_path / "000", tuning, None, tmp_path / "pretrain", {}, **how)


def with_pretraining(work, settings, **model):
    tuning = replace(work.tuning, model=replace(work.tuning.model, **model))
    return replace(work, tuning=tuning, pretraining=replace(tuning, training=settings))


def test_every_epoch_is_reported_with_its_error_and_timed(work):
    records = []
    train_trial(work, records.append)
    assert [record["epoch"] for record in records] == [1, 2, 3]
    assert all(record["validation_mpjpe"] > 0 for record in records)
    assert seconds(work.folder) == pytest.approx(sum(record["seconds"] for record in records))


def test_a_killed_trial_goes_on_with_its_last_epoch_to_the_same_weights(work, tmp_path):
    def die(record):
        if record["epoch"] == 2:
            raise Killed

    train_trial(work, lambda record: None)
    other = replace(work, folder=tmp_path / "001")
    with pytest.raises(Killed):
        train_trial(other, die)
    records = []
    train_trial(other, records.append)
    assert [record["epoch"] for record in records] == [2, 3]
    assert read_state(other.folder) == read_state(work.folder)
    first, second = kept_weights(work.folder), kept_weights(other.folder)
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("settings", "model"),
    [
        (pretrain_settings(batch_size=2), {}),
        (mpm_settings(batch_size=2), {}),
        (mpm_settings(batch_size=2), {"architecture": "stcformer"}),
        (mpm_settings(batch_size=2), {"architecture": "pstmo", "output": "centre"}),
    ],
)
def test_trials_that_pre_train_alike_do_it_once(work, tmp_path, monkeypatch, settings, model):
    trained, executions = [], set()
    real = TrainingJob.trainer

    def trainer(job, **options):
        trained.append(job)
        executions.add(options["execution"])
        return real(job, **options)

    monkeypatch.setattr(TrainingJob, "trainer", trainer)
    first = with_pretraining(work, replace(settings, epochs=1), **model)
    second = replace(first, folder=tmp_path / "001")
    for one in (first, second):
        records = []
        train_trial(one, records.append)
        assert [record["epoch"] for record in records] == [1, 2, 3]
    assert [job.parent for job in trained] == [None, *[work.pretrained / "model"] * 2]
    assert executions == {work.execution}


def test_a_users_error_ends_the_trial_and_any_other_is_rays(work, monkeypatch):
    diverging = finetune_settings(batch_size=2, optimiser=optimiser_settings(lr=1e30, clip=None))
    run_trial({"work": replace(work, tuning=replace(work.tuning, training=diverging))})
    assert "training diverged in epoch 1" in (work.folder / FAILURE).read_text()

    def broken(work, report):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(trial, "train_trial", broken)
    with pytest.raises(ZeroDivisionError):
        run_trial({"work": work})
    assert (work.folder / FAILURE).read_text() == "ZeroDivisionError('division by zero')"
