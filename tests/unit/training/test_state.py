import math

import pytest
import torch
from safetensors.torch import save_file

from mixste.errors import MixsteError
from mixste.training.state import FILE, State, kept_weights, read_state, restore_training, save_training
from tests.unit.factories import model_settings, trainer


@pytest.fixture(scope="module")
def run():
    started = trainer()
    next(started.epochs())
    return started


@pytest.fixture
def saved(run, tmp_path):
    save_training(tmp_path, run)
    return tmp_path


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_progress_comes_back_as_it_was(run, saved):
    state = read_state(saved)
    assert state == run.state
    assert (state.epoch, state.kept_epoch, len(state.history)) == (1, 1, 1)


def test_a_run_that_has_not_begun_can_be_saved_too(tmp_path):
    save_training(tmp_path, trainer())
    assert read_state(tmp_path) == State(kept_score=math.inf)
    restore_training(tmp_path, trainer())


def test_the_kept_weights_can_be_read_alone(run, saved):
    assert same(kept_weights(saved), run.kept)


def test_restoring_brings_back_weights_optimiser_and_progress(run, saved):
    restored = trainer(seed=5)
    restore_training(saved, restored)
    assert same(restored.model.state_dict(), run.model.state_dict())
    assert same(restored.kept, run.kept)
    assert restored.state == run.state
    own, other = run.optimiser.state_dict()["state"], restored.optimiser.state_dict()["state"]
    assert own.keys() == other.keys()
    assert all(same(own[number], other[number]) for number in own)


def test_saving_again_replaces_the_file_and_leaves_nothing_beside_it(run, saved):
    before = (saved / FILE).read_bytes()
    save_training(saved, run)
    assert [path.name for path in saved.iterdir()] == [FILE]
    assert (saved / FILE).read_bytes() == before


def test_a_file_of_another_model_is_refused_by_name(saved):
    with pytest.raises(MixsteError, match=r"do not fit this model.*spatial_blocks\.2"):
        restore_training(saved, trainer(model=model_settings(depth=3)))


@pytest.mark.parametrize("read", [read_state, kept_weights, lambda folder: restore_training(folder, trainer())])
def test_a_truncated_file_is_refused_by_name(saved, read):
    (saved / FILE).write_bytes((saved / FILE).read_bytes()[:-50])
    with pytest.raises(MixsteError, match=FILE):
        read(saved)


@pytest.mark.parametrize("metadata", [None, {}, {"progress": "no json"}, {"progress": '{"epoch": 1, "mood": 2}'}])
def test_progress_that_is_missing_or_not_ours_is_refused_with_the_way_out(tmp_path, metadata):
    save_file({"model/a": torch.zeros(1)}, tmp_path / FILE, metadata=metadata)
    with pytest.raises(MixsteError, match=f"{FILE}.*delete it"):
        read_state(tmp_path)


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(MixsteError, match=FILE):
        read_state(tmp_path)
