"""The command that composes settings again."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml

from pipelines.params import write
from pipelines.sweeping.chosen import overrides


@pytest.mark.parametrize(
    "chosen",
    [
        [],
        ["data=cmu", "model=small", "pretrain=mpm", "finetune=pstmo", "seed=7"],
        ["experiment=stcformer_h36m_81"],
        ["pretrain=mpm", "pretrain.masks.frames=0.5", "finetune.windows_per_epoch=null", "cluster.workers=1"],
        ["data.licence=it's ours, for 100% (c)", "cluster.storage=s3://B/P?region=eu&scheme=http"],
        ["register.name='7'", "tracking.experiment='null'", "data.split.test.subjects=['10']"],
        ["finetune.optimiser.lr=0.00001", "evaluate.flip=false", "project.views.distance=[3.5,6.0]"],
    ],
)
def test_settings_are_composed_again_with_another_model(workplace, chosen):
    params = write(chosen)
    model = replace(params.model, depth=params.model.depth + 1)
    Path("conf/model/best.yaml").write_text(yaml.safe_dump(asdict(model)))
    assert write(overrides(replace(params, model=model), model="best")) == replace(params, model=model)


def test_only_what_differs_from_the_defaults_is_named(workplace):
    params = write(["pretrain=mpm", "finetune.epochs=9"])
    assert overrides(params, model="best") == ["model=best", "pretrain=mpm", "finetune.epochs=9", "seed=0"]


def test_files_that_cannot_be_used_are_passed_over(workplace):
    shutil.copy("conf/finetune/default.yaml", "conf/finetune/wrong.yaml")
    with Path("conf/finetune/wrong.yaml").open("a") as file:
        file.write("speed: 3\n")
    assert overrides(write(), model="tiny") == ["model=tiny", "seed=0"]
