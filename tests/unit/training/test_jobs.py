import math
from dataclasses import replace

import pytest
import torch
from pyarrow import parquet

from mixste.errors import MixsteError
from mixste.lifter import Lifter
from mixste.models.checkpoint import read_config, save_model
from mixste.training.jobs import TrainingJob, run_job
from mixste.training.objectives import Lift, Masked, Supervised
from tests.unit.factories import (
    CPU,
    FPS,
    SKELETON,
    finetune_settings,
    model,
    model_settings,
    mpm_settings,
    optimiser_settings,
    pretrain_settings,
    sequences,
    write_projections,
)


@pytest.fixture
def job(tmp_path):
    paths = [write_projections(tmp_path / f"sample-{n}.parquet", sequences((18, 18, 9, 9), seed=n)) for n in range(3)]
    return TrainingJob(
        model=model_settings(), training=finetune_settings(), train=tuple(paths[:2]), validation=tuple(paths[2:]),
        skeleton=SKELETON, fps=FPS, seed=0,
    )  # fmt: skip


def test_a_job_tells_how_much_it_trains_on_and_which_of_it_is_too_short(job):
    minutes = f"{2 * 54 / FPS / 60:.1f} minutes with all views"
    assert job.amount() == f"8 sequences, {minutes}"
    job = replace(job, training=finetune_settings(windows_per_epoch=30), model=model_settings(frames=15))
    short = "4 of them shorter than the model's 15 frames; an epoch sees each frame 4.2 times on average"
    assert job.amount() == f"8 sequences, {minutes}, {short}"
    centre = replace(job, model=model_settings(frames=15, output="centre"))
    assert centre.amount() == f"8 sequences, {minutes}; an epoch sees each frame 0.3 times on average"


def test_a_job_with_empty_tables_tells_so_and_is_refused(job, tmp_path):
    empty = tmp_path / "empty-1.parquet"
    parquet.write_table(parquet.read_table(job.train[0]).slice(0, 0), empty)
    job = replace(job, train=(empty,), training=finetune_settings(windows_per_epoch=30))
    assert job.amount().startswith("0 sequences, 0.0 minutes")
    with pytest.raises(MixsteError, match="nothing to train on"):
        job.trainer(device=CPU)


@pytest.fixture
def child(job, tmp_path):
    """The job, starting from a parent model."""
    network = model(7)
    save_model(tmp_path / "parent", network.state_dict(), job.config({"stage": "pretrain"}))
    return replace(job, parent=tmp_path / "parent")


@pytest.mark.parametrize(
    ("frames", "width", "world", "expected"),
    [(9, 32, 1, 1), (27, 512, 1, 154), (27, 64, 1, 2), (27, 64, 2, 1)],
)
def test_a_step_takes_as_many_cores_as_it_is_worth(job, frames, width, world, expected):
    job = replace(
        job,
        model=model_settings(frames=frames, width=width, depth=3, heads=4, mlp_ratio=2.0),
        training=finetune_settings(batch_size=8),
    )
    assert job.cores_worth(world) == expected


def test_equal_jobs_have_equal_fingerprints(job):
    assert replace(job).fingerprint() == job.fingerprint()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"fraction": 0.5},
        {"precision": "bf16"},
        {"model": model_settings(width=32)},
        {"training": finetune_settings(epochs=4)},
        {"training": pretrain_settings()},
        {"training": mpm_settings()},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_setting_is_another_fingerprint(job, change):
    assert replace(job, **change).fingerprint() != job.fingerprint()


def test_other_data_is_another_fingerprint_and_another_data_hash(job):
    before = job.fingerprint(), job.data_hash()
    write_projections(job.validation[0], sequences((18, 18, 9, 9), seed=9))
    assert job.fingerprint() != before[0]
    assert job.data_hash() != before[1]


def test_another_split_of_the_same_tables_is_another_fingerprint(job):
    moved = replace(job, train=job.train[:1], validation=job.train[1:] + job.validation)
    assert moved.fingerprint() != job.fingerprint()


def test_the_tables_folder_does_not_matter(job, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    copies = [path.rename(tmp_path / "elsewhere" / path.name) for path in job.train]
    before = replace(job, train=tuple(copies)).fingerprint()
    back = [path.rename(tmp_path / path.name) for path in copies]
    assert replace(job, train=tuple(back)).fingerprint() == before


def test_another_parent_is_another_fingerprint(job, child):
    first = child.fingerprint()
    assert first != job.fingerprint()
    save_model(child.parent, model(8).state_dict(), job.config({"stage": "pretrain"}))
    assert child.fingerprint() != first


def test_a_trainer_has_the_jobs_data_model_and_objective(job):
    run = job.trainer(device=CPU)
    assert (len(run.batches.shard.data), len(run.validation.shard.data)) == (8, 4)
    assert run.model.settings == job.model
    assert isinstance(run.objective, Supervised)
    assert isinstance(replace(job, training=pretrain_settings()).trainer(device=CPU).objective, Lift)
    assert isinstance(replace(job, training=mpm_settings()).trainer(device=CPU).objective, Masked)


def test_a_fraction_takes_whole_clips_of_the_training_data_only(job):
    run = replace(job, fraction=0.5).trainer(device=CPU)
    whole = job.trainer(device=CPU).batches.shard.data
    assert 0.5 * whole.frames <= run.batches.shard.data.frames < whole.frames
    assert all(
        run.batches.shard.data.clips.count(clip) == whole.clips.count(clip) for clip in run.batches.shard.data.clips
    )
    assert len(run.validation.shard.data) == 4


def test_a_model_starts_from_its_seed_or_from_its_parent(job, child):
    fresh, again, other = (replace(job, seed=seed).trainer(device=CPU).kept for seed in (0, 0, 1))
    assert torch.equal(fresh["embed.weight"], again["embed.weight"])
    assert not torch.equal(fresh["embed.weight"], other["embed.weight"])
    assert all(
        torch.equal(value, child.trainer(device=CPU).kept[name]) for name, value in model(7).state_dict().items()
    )


@pytest.mark.parametrize("architecture", ["mixste", "pstmo", "stcformer", "stcformer_3dhp"])
@pytest.mark.parametrize("settings", [finetune_settings, pretrain_settings, mpm_settings])
def test_a_fresh_models_output_layers_begin_at_their_share_and_no_other(job, settings, architecture):
    shared = optimiser_settings(output_share=0.001)
    job = replace(job, model=model_settings(architecture=architecture))
    whole, small = (
        replace(job, training=training).trainer(device=CPU).model
        for training in (settings(), settings(optimiser=shared))
    )
    before, shrunk = dict(whole.named_parameters()), dict(small.named_parameters())
    outputs = {name for name in before if name.startswith(whole.output_layers)}
    assert outputs
    for name, value in shrunk.items():
        torch.testing.assert_close(value, before[name] * (0.001 if name in outputs else 1.0), rtol=1e-6, atol=0)


def test_output_layers_of_a_parent_are_taken_over_as_they_are(job, child):
    small = replace(child, training=finetune_settings(optimiser=optimiser_settings(output_share=0.001)))
    assert torch.equal(small.trainer(device=CPU).kept["head.weight"], model(7).state_dict()["head.weight"])


def test_a_parent_of_another_size_is_refused_by_name(child):
    with pytest.raises(MixsteError, match=r"cannot start from .*parent; found: width 16; expected: width 32"):
        replace(child, model=model_settings(width=32)).trainer(device=CPU)


@pytest.mark.parametrize("wrong", [{"skeleton": "h36m16"}, {"fps": 25.0}])
def test_data_of_another_skeleton_or_rate_are_refused(job, wrong):
    with pytest.raises(MixsteError, match=next(iter(wrong))):
        replace(job, **wrong).trainer(device=CPU)


def test_a_parent_in_another_unit_than_the_tables_is_refused(job, child):
    save_model(child.parent, model().state_dict(), replace(job.config({}), unit="screen"))
    with pytest.raises(MixsteError, match=r"cannot start from .*parent; found: unit screen; expected: unit m"):
        child.transferred()


def test_the_configuration_says_what_the_model_is_and_the_parent_where_it_came_from(job, child):
    config = job.config({"stage": "finetune"})
    assert (config.model, config.skeleton, config.fps) == (job.model, SKELETON, FPS)
    assert config.provenance == {"stage": "finetune"}
    assert job.parent_provenance() is None
    assert child.parent_provenance() == {"stage": "pretrain"}


def test_joints_in_screen_units_are_named_as_such(job):
    """MotionBERT's Human3.6M, whose 3D is in the image."""
    assert (job.config({}).unit, job.metric.unit, job.metric.key) == ("m", "mm", "validation_mpjpe_mm")
    write_projections(job.train[0], sequences((18,)), unit="screen")
    assert job.config({}).unit == "screen"
    assert (job.metric.unit, job.metric.key) == ("thousandths of a screen unit", "validation_mpjpe_1e-3")


def test_a_job_without_tables_is_refused(job):
    with pytest.raises(MixsteError, match="nothing to train on"):
        replace(job, train=()).config({})


def test_a_job_trains(child):
    records = list(child.trainer(device=CPU).epochs())
    assert [record["epoch"] for record in records] == [1, 2, 3]
    assert all(math.isfinite(record["validation_mpjpe"]) for record in records)


@pytest.mark.parametrize("architecture", ["mixste", "pstmo", "stcformer", "stcformer_3dhp"])
def test_masked_pre_training_is_a_model_folder_that_a_lifter_starts_from(job, tmp_path, architecture):
    job = replace(job, model=model_settings(architecture=architecture))
    masked = replace(job, training=mpm_settings(epochs=1))
    score = run_job(masked, tmp_path / "masked", {"stage": "pretrain"})
    config = read_config(tmp_path / "masked" / "model")
    assert config.kind == "masked"
    assert config.provenance["validation_2d_error_1e-3"] == score
    with pytest.raises(MixsteError, match="cannot lift"):
        Lifter.load(tmp_path / "masked" / "model")
    child = replace(job, parent=tmp_path / "masked" / "model", training=finetune_settings(epochs=1))
    run_job(child, tmp_path / "tuned", {"stage": "finetune"})
    provenance = Lifter.load(tmp_path / "tuned" / "model").config.provenance
    assert provenance["transferred"]["kind"] == "masked network"
    assert provenance["transferred"]["fresh"]["head"] > 0
    assert provenance["parent"]["stage"] == "pretrain"
    assert math.isfinite(provenance["validation_mpjpe_mm"])
