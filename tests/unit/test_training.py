import json
import math
from pathlib import Path

import pytest
import torch
from torch import distributed, multiprocessing

from mixste.errors import MixsteError
from mixste.objectives import Lift, Supervised
from mixste.recipe import CorruptionSettings, LiftLoss, SupervisedLoss
from mixste.training_state import restore_training, save_training
from tests.unit.factories import (
    FLIP,
    finetune_settings,
    model_settings,
    optimiser_settings,
    pretrain_settings,
    sequences,
    trainer,
)

TIMINGS = ("frames_per_second", "seconds")


def trained(settings=None, **changes):
    run = trainer(settings, **changes)
    return run, list(run.epochs())


def curve(records):
    return [{key: value for key, value in record.items() if key not in TIMINGS} for record in records]


def weights(run):
    return {name: value.clone() for name, value in run.model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class Recorder(Supervised):
    """Fine-tuning that remembers which windows it was given in training: their keypoints' first number."""

    def __init__(self):
        super().__init__(
            SupervisedLoss(weighted=False, temporal=0.0, velocity=0.0, squared=False), skeleton="h36m17", joints=17
        )
        self.steps = []

    def inputs(self, keypoints, generator):
        self.steps.append(keypoints[:, 0, 0, 0].int().tolist())
        return keypoints


def numbered(count):
    """Sequences of one window each, whose keypoints are the window's number."""
    data = sequences((9,) * count)
    data.keypoints[:] = torch.arange(count).repeat_interleave(9)[:, None, None]
    return data


def order(seed=0, windows=7, batch=2, epochs=6):
    """Window numbers of every step."""
    recorder = Recorder()
    settings = finetune_settings(batch_size=batch, epochs=epochs)
    run = trainer(settings, objective=recorder, data=numbered(windows), seed=seed)
    run.validate = lambda: 1.0
    list(run.epochs())
    return recorder.steps


def test_the_same_seed_gives_the_same_loss_twice():
    (first, records), (second, again) = trained(), trained()
    assert curve(records) == curve(again)
    assert same(weights(first), weights(second))


def test_another_seed_gives_another_loss():
    assert curve(trained(seed=0)[1]) != curve(trained(seed=1)[1])


def test_the_global_random_state_before_a_run_does_not_matter():
    first = trainer()
    torch.manual_seed(12345)
    assert curve(first.epochs()) == curve(trained()[1])


@pytest.mark.parametrize("settings", [pretrain_settings, finetune_settings])
def test_it_learns(settings):
    gentle = {"corruption": CorruptionSettings(noise=0.1, joint_mask=0.0, frame_mask=0.0)}
    extra = gentle if settings is pretrain_settings else {}
    records = trained(
        settings(epochs=12, optimiser=optimiser_settings(lr=1e-2), **extra), model=model_settings(drop_path=0.0)
    )[1]
    assert records[-1]["loss"] < 0.5 * records[0]["loss"]
    assert records[-1]["validation_mpjpe"] < 0.5 * records[0]["validation_mpjpe"]


def test_a_record_holds_epoch_step_rate_losses_and_speed():
    records = trained()[1]
    assert [record["epoch"] for record in records] == [1, 2, 3]
    assert [record["step"] for record in records] == [4, 8, 12]  # 4 + 3 + 1 + 5 windows of 9 frames, 4 at a time
    for record in records:
        assert record["loss"] == pytest.approx(record["mpjpe"] + record["n_mpjpe"] + record["velocity"])
        assert record["lr"] == 3e-3
        assert record["frames_per_second"] > 0


def test_the_loss_that_is_reported_is_the_losses_mean_over_steps():
    run = trainer(
        finetune_settings(epochs=1, optimiser=optimiser_settings(lr=1e-12)), model=model_settings(drop_path=0.0)
    )
    first = weights(run)
    (record,) = run.epochs()
    run.model.load_state_dict(first)
    run.model.eval()
    steps = [run._order.batch(step, 4) for step in range(4)]
    expected = []
    for which in steps:
        keypoints, target = run._batch(run.data, run.windows.index(which))
        with torch.no_grad():
            expected.append(sum(run.objective.loss(run.model, keypoints, target, None).values()).item())
    assert record["loss"] == pytest.approx(sum(expected) / 4, rel=1e-5)


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_interrupted_after_any_epoch_and_restored_it_ends_in_the_same_weights(tmp_path, epoch):
    changes = {"epochs": 4, "windows_per_epoch": 6}
    undisturbed, records = trained(pretrain_settings(**changes))
    interrupted = trainer(pretrain_settings(**changes))
    for record in interrupted.epochs():
        if record["epoch"] == epoch:
            break
    save_training(tmp_path, interrupted)
    torch.manual_seed(777)
    resumed = trainer(pretrain_settings(**changes))
    restore_training(tmp_path, resumed)
    assert curve(resumed.epochs()) == curve(records)[epoch:]
    assert same(weights(resumed), weights(undisturbed))
    assert same(resumed.kept, undisturbed.kept)
    assert resumed.state == undisturbed.state


def test_the_weights_of_the_best_epoch_are_kept(monkeypatch):
    run, scores, after = trainer(pretrain_settings(epochs=4)), iter([50.0, 20.0, 30.0, 20.0]), []
    monkeypatch.setattr(run, "validate", lambda: next(scores))
    for _ in run.epochs():
        after.append(weights(run))
    assert (run.state.kept_epoch, run.state.kept_score) == (2, 20.0)
    assert same(run.kept, after[1])
    assert not same(run.kept, after[3])


@pytest.mark.parametrize("settings", [pretrain_settings, finetune_settings])
def test_a_diverging_training_is_refused_with_its_losses_and_what_to_lower(settings):
    with pytest.raises(MixsteError, match=r"diverged in epoch \d.*nan|inf.*optimiser\.lr"):
        trained(settings(optimiser=optimiser_settings(lr=1e30, clip=None)))


def test_weights_that_the_last_step_ruined_are_refused(monkeypatch):
    run = trainer(pretrain_settings(epochs=1))
    monkeypatch.setattr(run, "validate", lambda: math.nan)
    with pytest.raises(MixsteError, match=r"diverged in epoch 1.*validation_mpjpe"):
        list(run.epochs())


def test_a_batch_smaller_than_the_number_of_workers_is_refused():
    with pytest.raises(MixsteError, match=r"batch_size 4 for 5 workers.*cluster\.workers"):
        trainer(world=5)


def test_training_on_nothing_is_refused():
    with pytest.raises(MixsteError, match="no windows"):
        trainer(data=sequences().select([]))


def test_validating_on_nothing_is_refused():
    with pytest.raises(MixsteError, match="nothing to validate on"):
        trainer(validation=sequences().select([]))


@pytest.mark.parametrize(("windows", "batch"), [(7, 2), (8, 4), (3, 8)])
def test_every_window_is_seen_once_a_pass_in_a_new_order(windows, batch):
    seen = [number for step in order(windows=windows, batch=batch, epochs=6) for number in step]
    passes = [seen[i : i + windows] for i in range(0, len(seen) - windows + 1, windows)]
    assert len(passes) >= 6
    assert all(sorted(own) == list(range(windows)) for own in passes)
    assert len({tuple(own) for own in passes}) > 1


def test_the_order_of_windows_is_a_function_of_the_seed():
    assert order(seed=1) == order(seed=1) != order(seed=2)


def test_the_windows_of_a_step_do_not_depend_on_the_steps_before():
    run = trainer(data=numbered(7))
    forwards = [run._order.batch(step, 3).tolist() for step in range(12)]
    backwards = [trainer(data=numbered(7))._order.batch(step, 3).tolist() for step in reversed(range(12))]
    assert forwards == backwards[::-1]


def test_a_short_epoch_is_a_part_of_a_pass():
    settings = finetune_settings(windows_per_epoch=6, batch_size=4, epochs=2)
    recorder = Recorder()
    run = trainer(settings, objective=recorder, data=numbered(20))
    run.validate = lambda: 1.0
    list(run.epochs())
    assert run.steps_per_epoch == 2
    assert [len(step) for step in recorder.steps] == [4] * 4
    assert len({number for step in recorder.steps for number in step}) == 16


def test_a_stride_below_one_gives_overlapping_windows():
    whole, halves = (trainer(pretrain_settings(stride=stride), data=sequences((45,))) for stride in (1.0, 0.5))
    assert (len(whole.windows), len(halves.windows)) == (5, 10)


class Watcher:
    """A model that remembers what it was given and what it was asked for."""

    def __init__(self, run):
        self.seen, self.targets = [], []
        run.model.register_forward_pre_hook(lambda _, args: self.seen.append(args[0].clone()))
        plain = run.objective.loss
        run.objective.loss = lambda m, x, target, g: (self.targets.append(target.clone()), plain(m, x, target, g))[1]


@pytest.mark.parametrize("flip", ["half", "none"])
def test_half_of_the_windows_are_mirrored_2d_and_3d_alike(flip):
    run = trainer(finetune_settings(flip=flip, epochs=10))
    run.validate = lambda: 1.0
    watcher = Watcher(run)
    list(run.epochs())
    keypoints, target = run._batch(run.data, run.windows.index(torch.arange(len(run.windows))))
    sign = torch.tensor([-1.0, 1.0, 1.0])
    count = {"plain": 0, "mirrored": 0}
    for seen, wanted in zip(torch.cat(watcher.seen), torch.cat(watcher.targets), strict=True):
        plain = (keypoints == seen).all(dim=(1, 2, 3)).nonzero()
        mirrored = (keypoints[:, :, FLIP] * sign == seen).all(dim=(1, 2, 3)).nonzero()
        expected = target[plain[0, 0]] if len(plain) else target[mirrored[0, 0]][:, FLIP] * sign
        assert torch.equal(expected, wanted)
        count["plain" if len(plain) else "mirrored"] += 1
    assert (count["mirrored"] > 0.3 * sum(count.values())) == (flip == "half")
    assert count["plain"] > 0.3 * sum(count.values())


def test_targets_are_relative_to_the_root():
    run = trainer()
    watcher = Watcher(run)
    next(run.epochs())
    targets = torch.cat(watcher.targets)
    assert not targets[:, :, 0].any()
    assert targets[..., 2].abs().max() < 3.5, "not 4 m away"


def test_a_model_of_two_channels_is_trained_without_confidence():
    assert math.isfinite(trained(pretrain_settings(epochs=1), model=model_settings(channels=2))[1][0]["loss"])


def test_validation_is_corrupted_alike_every_time_and_changes_nothing():
    run = trainer()
    before = weights(run)
    assert run.validate() == run.validate()
    assert same(before, weights(run))


def test_validation_without_corruption_is_mpjpe_in_millimetres():
    run = trainer(finetune_settings(), validation=sequences((18,)), model=model_settings(drop_path=0.0))
    data = run.validation
    with torch.no_grad():
        predicted = run.model.eval()(data.keypoints.reshape(2, 9, 17, 3)).reshape(18, 17, 3)
    expected = (predicted - (data.joints - data.joints[:, :1])).norm(dim=-1).mean() * 1000
    assert run.validate() == pytest.approx(expected.item(), rel=1e-4)


def test_bf16_trains():
    records = trained(pretrain_settings(epochs=2), precision="bf16")[1]
    assert all(math.isfinite(record["loss"]) for record in records)


def process(rank, folder, world):
    """One of two processes: the same training, its records in a file."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
    run = shared_trainer(rank=rank, world=world)
    Path(folder, f"{rank}.json").write_text(json.dumps(curve(run.epochs())))
    torch.save(run.model.state_dict(), Path(folder, f"{rank}.pt"))
    distributed.destroy_process_group()


def shared_trainer(**changes):
    """Batches that two processes cannot share evenly, and no stochastic depth."""
    settings = pretrain_settings(batch_size=5, validation_windows=3, optimiser=optimiser_settings(lr=1e-3))
    objective = Lift(settings.corruption, LiftLoss(n_mpjpe=0.5, velocity=2.0))
    return trainer(settings, objective=objective, model=model_settings(drop_path=0.0), **changes)


def test_two_processes_give_the_curve_of_one(tmp_path):
    multiprocessing.spawn(process, (str(tmp_path), 2), nprocs=2)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    alone = curve(shared_trainer().epochs())
    for one, two in zip(alone, first, strict=True):
        assert two == pytest.approx(one, rel=1e-3)
    states = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert same(*states)
