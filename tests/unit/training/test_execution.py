"""A batch in parts, and what a training says that it took."""

import time

import pytest

from mixste.errors import MixsteError
from mixste.recipe import Execution
from tests.unit.factories import (
    TIMINGS,
    finetune_settings,
    model_settings,
    mpm_settings,
    optimiser_settings,
    pretrain_settings,
    trainer,
)
from tests.unit.training.test_batches import Watcher
from tests.unit.training.test_training import curve


@pytest.mark.parametrize("settings", [finetune_settings, pretrain_settings, mpm_settings])
@pytest.mark.parametrize("squared", [False, True])
def test_parts_of_a_batch_one_after_the_other_are_the_batch(settings, squared):
    """Also when the parts differ in size: a batch of 5 in 3."""
    settings, runs = settings(batch_size=5, optimiser=optimiser_settings(lr=1e-3)), []
    for accumulate in (1, 3):
        run = trainer(settings, model=model_settings(drop_path=0.0), execution=Execution(accumulate=accumulate))
        run.objective.squared = squared
        runs.append(curve(run.epochs()))
    for one, other in zip(*runs, strict=True):
        assert other == pytest.approx(one, rel=1e-3, abs=1e-6)


def test_no_more_windows_than_a_part_has_go_through_the_network_at_once():
    run = trainer(finetune_settings(batch_size=6, epochs=1), execution=Execution(accumulate=3))
    run.validate = lambda: 1.0
    watcher = Watcher(run)
    list(run.epochs())
    assert {len(seen) for seen in watcher.seen} == {2}
    assert len(watcher.seen) == 3 * run.steps_per_epoch


def test_parts_that_are_too_small_are_refused():
    with pytest.raises(MixsteError, match=r"batch_size 5 for 1 worker, each in 3 parts;.*lower.*cluster\.accumulate"):
        trainer(
            finetune_settings(batch_size=5),
            model=model_settings(architecture="pstmo"),
            execution=Execution(accumulate=3),
        )


def test_a_step_and_its_wait_for_data_are_timed():
    run = trainer(finetune_settings(epochs=1))
    plain = run.batches.drawn
    run.batches.drawn = lambda step: time.sleep(0.02) or plain(step)
    (record,) = run.epochs()
    assert 0.02 <= record["data_seconds"] < record["step_seconds"] <= record["seconds"] / run.steps_per_epoch
    assert record["frames_per_second"] == pytest.approx(4 * 9 / record["step_seconds"])
    assert set(TIMINGS) == record.keys() - run.state.history[-1].keys()
    assert "mfu" not in record, "only of devices whose peak is known"


def test_mfu_is_the_matrix_products_of_a_step_over_what_the_device_promises(monkeypatch, without_kernels):
    monkeypatch.setattr("mixste.training.peak_flops", lambda device, precision: 1e12)
    run = trainer(finetune_settings(epochs=1), model=model_settings(drop_path=0.0))
    (record,) = run.epochs()
    forward = 2 * 4 * run.model.all_macs(9)
    promised = 1e12 * record["step_seconds"]
    assert 2.5 * forward < record["mfu"] * promised < 3.01 * forward, "backward is up to twice the forward pass"
