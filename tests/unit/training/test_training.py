import math
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch._dynamo.utils

from mixste.errors import MixsteError
from mixste.recipe import CorruptionSettings, Execution, SupervisedLoss
from mixste.training.batches import windows_of
from mixste.training.state import restore_training, save_training
from tests.unit.factories import (
    TIMINGS,
    finetune_settings,
    model_settings,
    mpm_settings,
    optimiser_settings,
    pretrain_settings,
    sequences,
    trainer,
)


def trained(settings=None, **changes):
    run = trainer(settings, **changes)
    return run, list(run.epochs())


def curve(records):
    return [{key: value for key, value in record.items() if key not in TIMINGS} for record in records]


def weights(run):
    return {name: value.clone() for name, value in run.model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_the_same_seed_gives_the_same_loss_twice():
    (first, records), (second, again) = trained(), trained()
    assert curve(records) == curve(again)
    assert same(weights(first), weights(second))


CENTRE = {"architecture": "pstmo", "step": 2}
EVERYTHING = [
    pytest.param(settings, changes, id=f"{settings.__name__}-{changes['architecture']}-{changes.get('output', '')}")
    for settings in (finetune_settings, mpm_settings)
    for changes in (
        {"architecture": "mixste"},
        {"architecture": "mixste", "output": "centre", "step": 2},
        {"architecture": "pstmo", "step": 2, "dropout": 0.1},
        {"architecture": "stcformer", "output": "centre", "step": 3, "dropout": 0.1},
        {"architecture": "stcformer_3dhp"},
    )
]


@pytest.mark.parametrize(("settings", "changes"), EVERYTHING)
def test_every_architecture_resumes_to_the_numbers_of_an_undisturbed_run(tmp_path, settings, changes):
    """Also the same loss at a fixed seed: dropout, masks and running statistics included."""
    settings, model = settings(windows_per_epoch=8, flip="half"), model_settings(**changes)
    undisturbed, records = trained(settings, model=model)
    interrupted = trainer(settings, model=model)
    next(interrupted.epochs())
    save_training(tmp_path, interrupted)
    resumed = trainer(settings, model=model, seed=0)
    restore_training(tmp_path, resumed)
    assert curve(resumed.epochs()) == curve(records)[1:]
    assert same(weights(resumed), weights(undisturbed))
    assert same(resumed.kept, undisturbed.kept)


@pytest.mark.parametrize(("settings", "changes"), EVERYTHING)
def test_recomputed_blocks_change_no_number(settings, changes):
    settings, model = settings(windows_per_epoch=8, flip="half"), model_settings(**changes)
    kept, records = trained(settings, model=model)
    recomputed, again = trained(settings, model=model, execution=Execution(recompute=True))
    assert curve(records) == curve(again)
    assert same(weights(kept), weights(recomputed))


@pytest.mark.parametrize(
    ("architecture", "depth", "kinds"),
    # of MixSTE: in space and in time, the first, which drops no paths, and the others; P-STMO's strided are all unlike
    [("mixste", 3, 4), ("stcformer", 2, 1), ("stcformer_3dhp", 2, 1), ("pstmo", 2, 4)],
)
@pytest.mark.parametrize("settings", [finetune_settings, pretrain_settings])
@pytest.mark.parametrize("recompute", [False, True])
def test_blocks_that_differ_in_weights_alone_compile_once(
    monkeypatch, settings, architecture, depth, kinds, recompute, without_kernels
):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    monkeypatch.setattr("mixste.training.refuse_without_compiler", lambda device: None)  # that backend needs none
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    settings, model = settings(epochs=2), model_settings(architecture=architecture, depth=depth)
    records = trained(settings, model=model)[1]
    again = trained(settings, model=model, execution=Execution(compile=True, recompute=recompute))[1]
    assert curve(again)[0] == pytest.approx(curve(records)[0], rel=1e-2)  # later ones differ by torch's roundings
    assert counters["stats"]["unique_graphs"] == kinds
    assert not counters["graph_break"]


@pytest.mark.parametrize(("settings", "changes"), EVERYTHING)
def test_every_architecture_learns_what_it_is_asked_for(settings, changes):
    settings = settings(epochs=6, optimiser=optimiser_settings(lr=1e-2), windows_per_epoch=32, validation_windows=4)
    records = trained(settings, model=model_settings(**{**changes, "dropout": 0.0, "drop_path": 0.0}))[1]
    assert records[-1]["loss"] < 0.7 * records[0]["loss"]


@pytest.mark.parametrize("settings", [finetune_settings, pretrain_settings, mpm_settings])
@pytest.mark.parametrize("architecture", ["mixste", "pstmo", "stcformer", "stcformer_3dhp"])
def test_every_architecture_trains_on_single_frames(settings, architecture):
    records = trained(settings(epochs=1), model=model_settings(architecture=architecture, frames=1))[1]
    assert math.isfinite(records[0]["loss"])


@pytest.mark.parametrize("settings", [finetune_settings, mpm_settings])
def test_a_share_of_one_window_is_refused_where_there_is_batch_norm(settings):
    model = model_settings(architecture="pstmo", frames=1)
    with pytest.raises(MixsteError, match=r"batch_size 1 for 1 worker;.*two windows or more.*batch norm"):
        trainer(settings(batch_size=1), model=model)
    with pytest.raises(MixsteError, match=r"batch_size 5 for 3 workers"):
        trainer(settings(batch_size=5), model=model, world=3)
    assert trainer(settings(batch_size=1)).steps_per_epoch > 0, "MixSTE has none"


def test_masked_training_is_judged_by_its_reconstruction_in_thousandths_of_a_screen_unit():
    run, records = trained(mpm_settings(epochs=1), validation=sequences((18,)))
    windows = run.validation.shard.data.keypoints.reshape(2, 9, 17, 3)
    joints, frames = run.objective.masks(9, 17, run.view.generator(-1))
    with torch.no_grad():
        off = run.model.eval().reconstruct(windows, joints, frames) - windows[..., :2]
    expected = off.norm(dim=-1).mean().item() * 1000
    assert records[0]["validation_2d_error"] == pytest.approx(expected, rel=1e-4)
    assert records[0]["loss"] == records[0]["reconstruction"]
    assert "validation_mpjpe" not in records[0]


def test_a_steps_masks_are_its_own():
    run, drawn = trainer(mpm_settings(epochs=2)), []
    plain = run.objective.masks
    run.objective.masks = lambda *arguments: drawn.append(plain(*arguments)) or drawn[-1]
    run.validate = lambda: 1.0
    list(run.epochs())
    assert len({str(joints.tolist()) for joints, _ in drawn}) == len(drawn) == 2 * run.steps_per_epoch


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
    steps = [run.batches.order.batch(step) for step in range(4)]
    expected = []
    for which in steps:
        keypoints, target = windows_of(run.batches.shard.data, run.batches.shard.windows.index(which))
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


def test_the_weights_of_the_last_epoch_are_kept_where_that_is_chosen(monkeypatch):
    run, scores = trainer(pretrain_settings(epochs=3, keep="last")), iter([50.0, 20.0, 30.0])
    monkeypatch.setattr(run, "validate", lambda: next(scores))
    list(run.epochs())
    assert (run.state.kept_epoch, run.state.kept_score) == (3, 30.0)
    assert same(run.kept, weights(run))


def test_a_squared_losss_gradient_is_the_losss_times_the_loss():
    """As MixSTE's code has it; what is logged stays the loss."""
    loss = {"weighted": True, "temporal": 0.5, "velocity": 2.0}
    optimiser = optimiser_settings(clip=None)
    gradients, losses = [], []
    for squared in (False, True):
        settings = finetune_settings(loss=SupervisedLoss(**loss, squared=squared), optimiser=optimiser)
        run = trainer(settings, model=model_settings(drop_path=0.0))
        losses.append(sum(value.item() for value in run._step(0).values()))
        gradients.append([parameter.grad.clone() for parameter in run.model.parameters()])
    assert losses[0] == losses[1]
    for plain, squared in zip(*gradients, strict=True):
        torch.testing.assert_close(squared, plain * losses[0], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("squared", [False, True])
def test_the_gradient_of_a_step_is_no_longer_than_its_clip_squared_or_not(squared):
    loss = SupervisedLoss(weighted=True, temporal=0.5, velocity=2.0, squared=squared)
    lengths = []
    for clip in (None, 0.25, 1e6):
        run = trainer(finetune_settings(loss=loss, optimiser=optimiser_settings(clip=clip)))
        run._step(0)
        lengths.append(torch.cat([parameter.grad.flatten() for parameter in run.model.parameters()]).norm().item())
    assert lengths[0] > 0.5
    assert lengths[1:] == pytest.approx([0.25, lengths[0]], rel=1e-4)


@pytest.mark.parametrize("settings", [pretrain_settings, finetune_settings])
def test_a_diverging_training_is_refused_with_its_losses_and_what_to_lower(settings):
    with pytest.raises(MixsteError, match=r"diverged in epoch \d.*nan|inf.*optimiser\.lr"):
        trained(settings(optimiser=optimiser_settings(lr=1e30, clip=None)))


def test_weights_that_the_last_step_ruined_are_refused(monkeypatch):
    run = trainer(pretrain_settings(epochs=1))
    monkeypatch.setattr(run, "validate", lambda: math.nan)
    with pytest.raises(MixsteError, match=r"diverged in epoch 1.*validation_mpjpe"):
        list(run.epochs())


def test_a_step_that_does_not_fit_into_memory_is_refused_with_how_it_fits(monkeypatch):
    run = trainer(finetune_settings())
    monkeypatch.setattr(run.model, "forward", lambda keypoints: torch.empty(2**60))
    with pytest.raises(MixsteError, match=r"too small for batches of .* windows; .* cluster.accumulate=2 or more"):
        next(run.epochs())


def test_validation_that_does_not_fit_into_memory_is_said(monkeypatch):
    run = trainer(finetune_settings())
    monkeypatch.setattr(run.objective, "errors", lambda *_: torch.empty(2**60))
    with pytest.raises(MixsteError, match=r"too small for 64 windows of validation; .*end what else takes that memory"):
        run.validate()


def test_a_batch_smaller_than_the_number_of_workers_is_refused():
    with pytest.raises(MixsteError, match=r"batch_size 4 for 5 workers.*cluster\.workers"):
        trainer(world=5)


def test_training_on_nothing_is_refused():
    with pytest.raises(MixsteError, match="no windows"):
        trainer(data=sequences().select([]))


def test_validating_on_nothing_is_refused():
    with pytest.raises(MixsteError, match="nothing to validate on"):
        trainer(validation=sequences().select([]))


def test_validation_is_corrupted_alike_every_time_and_changes_nothing():
    run = trainer()
    before = weights(run)
    assert run.validate() == run.validate()
    assert same(before, weights(run))


def test_validation_without_corruption_is_mpjpe_in_millimetres():
    run = trainer(finetune_settings(), validation=sequences((18,)), model=model_settings(drop_path=0.0))
    data = run.validation.shard.data
    with torch.no_grad():
        predicted = run.model.eval()(data.keypoints.reshape(2, 9, 17, 3)).reshape(18, 17, 3)
    expected = (predicted - (data.joints - data.joints[:, :1])).norm(dim=-1).mean() * 1000
    assert run.validate() == pytest.approx(expected.item(), rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "changes"), [(finetune_settings, {}), (finetune_settings, CENTRE), (mpm_settings, {})]
)
def test_frames_that_are_not_valid_do_not_count_in_validation(settings, changes):
    data = sequences((18,))
    seen = replace(data, valid=torch.arange(18) % 3 > 0)
    every = settings(validation_windows=18)
    runs = [trainer(every, validation=given, model=model_settings(**changes)) for given in (data, seen)]
    errors = []
    plain = runs[0].objective.errors
    runs[0].objective.errors = lambda *arguments: errors.append(plain(*arguments)) or errors[-1]
    runs[0].validate()
    expected = torch.cat(errors).reshape(18, 17)[seen.valid].mean().item() * 1000
    assert runs[1].validate() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("architecture", ["mixste", "stcformer", "pstmo"])
def test_bf16_gives_the_losses_of_fp32_within_its_rounding(architecture):
    model = model_settings(architecture=architecture)
    exact, found = (
        [record["loss"] for record in trained(pretrain_settings(epochs=4), model=model, precision=precision)[1]]
        for precision in ("fp32", "bf16")
    )
    assert found != exact
    assert found == pytest.approx(exact, rel=0.01)


def test_output_layers_learn_at_their_share_of_the_rate():
    run = trainer(finetune_settings(epochs=1, optimiser=optimiser_settings(output_share=0.5)))
    list(run.epochs())
    rates = {group["share"]: group["lr"] for group in run.optimiser.param_groups}
    assert rates[0.5] == 0.5 * rates[1.0] > 0


def test_a_model_of_two_channels_is_trained_without_confidence():
    assert math.isfinite(trained(pretrain_settings(epochs=1), model=model_settings(channels=2))[1][0]["loss"])
