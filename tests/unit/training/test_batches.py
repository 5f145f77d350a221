from dataclasses import replace

import pytest
import torch

from mixste.recipe import SupervisedLoss
from mixste.skeleton import load_skeleton
from mixste.training.batches import windows_of
from mixste.training.objectives import Lift, Supervised
from tests.unit.factories import (
    FLIP,
    SKELETON,
    finetune_settings,
    model_settings,
    pretrain_settings,
    sequences,
    trainer,
)


class Recorder(Supervised):
    """Fine-tuning that remembers which windows it was given in training: their keypoints' first number."""

    def __init__(self):
        super().__init__(
            SupervisedLoss(weighted=False, temporal=0.0, velocity=0.0, squared=False), skeleton="h36m17", joints=17
        )
        self.steps = []

    def inputs(self, keypoints, generator, batch):
        self.steps += [each[:, 0, 0, 0].int().tolist() for each in keypoints.split(batch)]
        return keypoints


def numbered(count):
    """Sequences of one window each, whose keypoints are the window's number."""
    data = sequences((9,) * count)
    data.keypoints[:] = torch.arange(count).repeat_interleave(9)[:, None, None]
    return data


def test_a_short_epoch_is_a_part_of_a_pass():
    settings = finetune_settings(windows_per_epoch=6, batch_size=4, epochs=2)
    recorder = Recorder()
    run = trainer(settings, objective=recorder, data=numbered(20))
    run.validate = lambda: 1.0
    list(run.epochs())
    assert run.steps_per_epoch == 2
    taken = recorder.steps[: run.state.records[-1]["step"]]  # what follows was drawn along with them
    assert [len(step) for step in taken] == [4] * 4
    assert len({number for step in taken for number in step}) == 16


def test_a_stride_below_a_windows_length_gives_overlapping_windows():
    whole, halves = (trainer(pretrain_settings(stride=stride), data=sequences((45,))) for stride in (9, 4))
    assert (len(whole.batches.shard.windows), len(halves.batches.shard.windows)) == (5, 10)


@pytest.mark.parametrize("changes", [{}, {"architecture": "pstmo", "step": 2}])
def test_stride_1_is_a_window_for_every_frame(changes):
    run = trainer(finetune_settings(stride=1), data=sequences((45, 5)), model=model_settings(**changes))
    windows = run.batches.shard.windows.index(torch.arange(len(run.batches.shard.windows)))
    if changes:
        assert windows[:, 4].tolist() == list(range(50)), "a window is centred on every frame"
    else:
        assert windows[:, 0].tolist() == [*range(37), 45], "a window begins at every frame but the last ones"


def test_a_stride_is_in_frames_of_the_sequence_whatever_the_step():
    run = trainer(finetune_settings(stride=4), data=sequences((60,)), model=model_settings(output="centre", step=2))
    assert run.batches.shard.windows.index(torch.arange(len(run.batches.shard.windows)))[:, 4].tolist() == list(
        range(0, 60, 4)
    )


class Watcher:
    """A model that remembers what it was given and what it was asked for."""

    def __init__(self, run):
        self.seen, self.targets = [], []
        run.model.register_forward_pre_hook(lambda _, args: self.seen.append(args[0].clone()))
        plain = run.objective.loss
        run.objective.loss = lambda m, x, target, g: (self.targets.append(target.clone()), plain(m, x, target, g))[1]


def test_every_second_window_is_mirrored_on_average_and_each_by_a_draw_of_its_own():
    data = numbered(500)
    data.keypoints[:] = 1.0
    run = trainer(finetune_settings(flip="half", batch_size=50), data=data)
    mirrored = torch.stack([run.batches.drawn(step).inputs[:, 0, 0, 0] < 0 for step in range(60)]).double()
    assert mirrored.mean() == pytest.approx(0.5, abs=0.03)  # of 3000, so three standard deviations
    assert mirrored.sum(dim=1).std() == pytest.approx((50 / 4) ** 0.5, rel=0.3)


class Constant(Lift):
    """Pre-training whose corruption leaves nothing of what it was given, and remembers that."""

    def __init__(self):
        settings = pretrain_settings()
        super().__init__(settings.corruption, settings.loss, joints=load_skeleton(SKELETON).joints)
        self.given = []

    def inputs(self, keypoints, generator, batch):
        self.given.append(keypoints)
        return torch.full_like(keypoints, 7.0)


@pytest.mark.parametrize("flip", ["half", "both"])
def test_windows_are_mirrored_first_and_corrupted_then(flip):
    """As MotionBERT does: a detector errs by the side it sees, not by the side that was mirrored."""
    data, objective = numbered(40), Constant()
    data.keypoints[:] = 1.0
    run = trainer(pretrain_settings(flip=flip, batch_size=20), objective=objective, data=data)
    inputs = torch.cat([run.batches.drawn(step).inputs for step in range(run.steps_per_epoch)])
    assert set(torch.cat(objective.given)[..., 0].unique().tolist()) == {-1.0, 1.0}
    assert inputs.unique().tolist() == [7.0]


@pytest.mark.parametrize("flip", ["half", "none"])
def test_half_of_the_windows_are_mirrored_2d_and_3d_alike(flip):
    run = trainer(finetune_settings(flip=flip, epochs=10))
    run.validate = lambda: 1.0
    watcher = Watcher(run)
    list(run.epochs())
    keypoints, target = windows_of(
        run.batches.shard.data, run.batches.shard.windows.index(torch.arange(len(run.batches.shard.windows)))
    )
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


def test_with_both_every_window_is_seen_plain_and_mirrored_once_a_pass():
    run = trainer(finetune_settings(flip="both", batch_size=2, epochs=1), data=sequences((27, 9), seed=3))
    run.validate = lambda: 1.0
    watcher = Watcher(run)
    list(run.epochs())
    keypoints, target = windows_of(run.batches.shard.data, run.batches.shard.windows.index(torch.arange(4)))
    sign = torch.tensor([-1.0, 1.0, 1.0])
    expected = [torch.cat([values, values[:, :, FLIP] * sign]) for values in (keypoints, target)]
    assert run.steps_per_epoch == 4
    for seen, wanted in zip((torch.cat(watcher.seen), torch.cat(watcher.targets)), expected, strict=True):
        order = [int((wanted == own).all(dim=(1, 2, 3)).nonzero()) for own in seen]
        assert sorted(order) == list(range(8))


def test_the_root_is_the_skeletons_own():
    data = replace(sequences((9, 9)), skeleton="mpi17")
    target = windows_of(data, torch.arange(18).reshape(2, 9))[1]
    assert torch.equal(target, (data.joints - data.joints[:, 14:15]).reshape(2, 9, 17, 3))


def test_targets_are_relative_to_the_root():
    run = trainer()
    watcher = Watcher(run)
    next(run.epochs())
    targets = torch.cat(watcher.targets)
    assert not targets[:, :, 0].any()
    assert targets[..., 2].abs().max() < 3.5, "not 4 m away"
