"""Every recipe of conf/ takes a training step, the published sizes included, on shorter windows."""

from dataclasses import replace

import pytest
import torch

from mixste.recipe import FinetuneSettings, PretrainSettings
from tests.unit.composed import CONF, composed
from tests.unit.factories import finetune_settings, mpm_settings, sequences, trainer

SHORT = {"epochs": 1, "windows_per_epoch": 2, "batch_size": 2, "validation_windows": 2}
NARROW = ("model.width=32", "model.depth=2", "model.frames=27")


def names(group):
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def one_step(settings, model):
    """The loss of one step, and the share of weights it moved, but for part vectors, whose gradient may be dropped."""
    run = trainer(replace(settings, **SHORT), model=model, data=sequences((40,)))
    trained = [
        own for name, own in run.model.named_parameters() if own.requires_grad and not name.endswith("part.weight")
    ]
    before = [parameter.clone() for parameter in trained]
    (record,) = run.epochs()
    moved = [not torch.equal(old, new) for old, new in zip(before, trained, strict=True)]
    return record["loss"], sum(moved) / len(moved)


@pytest.mark.parametrize("name", names("pretrain"))
@pytest.mark.parametrize("model", ["tiny", "pstmo_tiny", "stcformer_tiny"])
def test_every_pre_training_takes_a_step_with_every_architecture(name, model):
    params = composed(f"pretrain={name}", f"model={model}")
    assert isinstance(params.pretrain, PretrainSettings)
    loss, moved = one_step(params.pretrain, params.model)
    assert 0 < loss < 1000
    assert moved == 1


@pytest.mark.parametrize("name", names("finetune"))
@pytest.mark.parametrize("model", ["tiny", "pstmo_tiny", "stcformer_tiny"])
def test_every_fine_tuning_takes_a_step_with_every_architecture(name, model):
    params = composed(f"finetune={name}", f"model={model}")
    assert isinstance(params.finetune, FinetuneSettings)
    loss, moved = one_step(params.finetune, params.model)
    assert 0 < loss < 1000
    assert moved == 1


@pytest.mark.parametrize("settings", [finetune_settings, mpm_settings])
@pytest.mark.parametrize("name", names("model"))
def test_every_model_takes_a_step(name, settings):
    model = composed(f"model={name}", "model.frames=9").model
    loss, moved = one_step(settings(), model)
    assert 0 < loss < 1000
    assert moved == 1


@pytest.mark.parametrize("stage", ["pretrain", "finetune"])
@pytest.mark.parametrize("name", names("experiment"))
def test_every_published_recipe_takes_a_step_when_made_narrow(name, stage):
    params = composed(f"experiment={name}", *NARROW)
    loss, moved = one_step(getattr(params, stage), params.model)
    assert 0 < loss < 1000
    assert moved == 1


@pytest.mark.parametrize("name", names("experiment"))
def test_a_published_recipe_keeps_the_last_epoch_and_registers_what_its_paper_trained(name):
    params = composed(f"experiment={name}", *NARROW)
    assert (params.pretrain.keep, params.finetune.keep) == ("last", "last")
    alone = "`dvc repro scratch`" in (CONF / "experiment" / f"{name}.yaml").read_text()
    assert params.register.model == ("scratch" if alone else "finetuned")


def test_data_of_exact_2d_differ_from_their_data_set_in_nothing_else():
    cpn, exact = (composed("experiment=mixste_h36m_243", f"data={name}").data for name in ("h36m", "h36m_gt"))
    assert replace(cpn, name=exact.name, labelled=exact.labelled) == exact
    assert exact.labelled.detections == "ground truth"
