"""The same training in one process and in two."""

import json
import os
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import distributed, multiprocessing

from mixste.recipe import Execution, SupervisedLoss
from tests.unit.factories import (
    finetune_settings,
    model_settings,
    mpm_settings,
    optimiser_settings,
    pretrain_settings,
    trainer,
)
from tests.unit.training.test_training import curve, same

SQUARED = SupervisedLoss(weighted=True, temporal=0.5, velocity=2.0, squared=True)
CASES = {
    "lift": (pretrain_settings, {"drop_path": 0.0}, {}),
    "squared": (finetune_settings, {"drop_path": 0.0}, {"loss": SQUARED}),
    "stcformer": (finetune_settings, {"architecture": "stcformer_3dhp", "output": "centre"}, {}),
    "mpm": (mpm_settings, {"drop_path": 0.0}, {}),
    "pstmo": (finetune_settings, {"architecture": "pstmo"}, {}),
    "in parts": (finetune_settings, {"drop_path": 0.3}, {"loss": SQUARED}),
    "drop path": (pretrain_settings, {"drop_path": 0.3}, {}),
    "one step": (finetune_settings, {"architecture": "pstmo"}, {"epochs": 1, "windows_per_epoch": 4, "batch_size": 4}),
}


class Process(NamedTuple):
    """What one of two processes came to, and the clips that it read."""

    curve: list
    weights: dict
    clips: list


def process(rank, folder, world):
    """One of two processes: the same trainings, the records of each in a file."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
    for case in CASES:
        run = shared_trainer(case, rank=rank, world=world)
        Path(folder, f"{case}-{rank}.json").write_text(json.dumps(curve(run.epochs())))
        Path(folder, f"{case}-{rank}.clips.json").write_text(json.dumps(run.batches.shard.data.clips))
        torch.save(run.model.state_dict(), Path(folder, f"{case}-{rank}.pt"))
    distributed.barrier()
    os._exit(0)  # not by way of gloo's destructor, which at times waits for a thread that waits for Python's lock


def shared_trainer(case, **changes):
    """Batches that two processes cannot share evenly, and networks that draw nothing that matters."""
    make, model, special = CASES[case]
    changes |= {"execution": Execution(accumulate=2)} if case == "in parts" else {}
    settings = make(**{"batch_size": 5, "validation_windows": 3, "optimiser": optimiser_settings(lr=1e-3), **special})
    return trainer(settings, model=model_settings(**model), **changes)


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Curves and weights of both processes, by case."""
    folder = tmp_path_factory.mktemp("two")
    multiprocessing.spawn(process, (str(folder), 2), nprocs=2)
    return {
        case: [
            Process(
                json.loads((folder / f"{case}-{rank}.json").read_text()),
                torch.load(folder / f"{case}-{rank}.pt"),
                json.loads((folder / f"{case}-{rank}.clips.json").read_text()),
            )
            for rank in (0, 1)
        ]
        for case in CASES
    }


@pytest.mark.parametrize("case", CASES)
def test_two_processes_agree_in_curve_weights_and_running_statistics(two, case):
    first, second = two[case]
    assert first.curve == second.curve
    assert same(first.weights, second.weights)


@pytest.mark.parametrize("case", ["lift", "squared", "stcformer", "mpm", "in parts"])
def test_two_processes_give_the_curve_of_one(two, case):
    """Not of P-STMO: batch norm sees each process's share of a batch alone."""
    alone = curve(shared_trainer(case).epochs())
    for one, other in zip(alone, two[case][0].curve, strict=True):
        assert other == pytest.approx(one, rel=1e-3, abs=1e-6)


def test_running_statistics_are_those_of_the_whole_batch(two):
    run = shared_trainer("one step")
    list(run.epochs())
    mean = "encoder.embed.first.norm.running_mean"
    alone, together = run.model.state_dict()[mean], two["one step"][0].weights[mean]
    assert alone.abs().max() > 1e-3
    torch.testing.assert_close(together, alone)


@pytest.mark.parametrize("case", CASES)
def test_each_process_reads_its_own_clips_and_both_together_all(two, case):
    """They share the clip in whose middle the windows of one end and those of the other begin."""
    whole = {*shared_trainer(case).batches.shard.data.clips}
    own = [{*process.clips} for process in two[case]]
    assert own[0] | own[1] == whole
    assert all(clips < whole for clips in own)
