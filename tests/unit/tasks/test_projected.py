"""Whose recordings are projected, and how."""

from pathlib import Path

import pytest

from mixste.errors import MixsteError
from pipelines.settings.data import GroupSettings, LabelSettings, SplitSettings, ValidationSettings
from pipelines.tasks.projected import plan


def group(*subjects, sources=()):
    return GroupSettings(subjects, sources)


def planned(names, labels, validation, test, *, seen=False):
    validation = ValidationSettings(validation.subjects, validation.sources, seen=seen)
    split = SplitSettings(LabelSettings(labels.subjects, labels.sources), validation, test)
    return {path.stem: kinds for path, kinds in plan([Path(f"{name}.parquet") for name in names], split).items()}


def test_no_random_views_of_a_test_subject_from_any_source():
    names = ["amc-07", "bvh-07", "amc-02", "bvh-02", "amc-05", "bvh-10"]
    found = planned(names, group("07", sources=("amc",)), group("05"), group("02", sources=("amc",)))
    assert found == {
        "amc-07": ("random", "rig"),
        "bvh-07": ("random", "rig"),
        "amc-02": ("rig",),
        "bvh-02": ("rig",),
        "amc-05": ("random", "rig"),
        "bvh-10": ("random", "rig"),
    }


def test_a_subject_of_a_source_that_has_no_recordings_of_it():
    with pytest.raises(MixsteError, match=r"data\.split\.labels.*07.*subjects from 10"):
        planned(["amc-07", "bvh-10", "amc-1", "amc-2"], group("07", sources=("bvh",)), group("1"), group("2"))


def test_random_views_of_validation_subjects_that_train():
    found = planned(["a-1", "a-2", "a-3"], group("1", "2"), group("2"), group("3"), seen=True)
    assert found == {"a-1": ("random", "rig"), "a-2": ("random", "rig"), "a-3": ("rig",)}


def test_one_file_in_two_groups():
    with pytest.raises(MixsteError, match=r"1 in labels and test|cannot be used"):
        planned(["a-1", "a-2", "a-3"], group("1"), group("2"), group("1"))


def test_no_recordings_at_all():
    with pytest.raises(MixsteError, match=r"data\.split\.labels"):
        planned([], group("1"), group("2"), group("3"))
