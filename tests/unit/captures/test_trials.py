import pytest

from mixste.captures.trials import find_trials
from mixste.errors import MixsteError


@pytest.fixture
def captures(tmp_path):
    for name in ("S2/walking_01", "S1/walking_01", "S1/sit-2"):
        path = tmp_path / f"{name}.bvh"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def table(folder, text):
    path = folder / "trials.csv"
    path.write_text(text)
    return path


def test_paths_name_subject_and_action(captures):
    trials = find_trials(captures, "*/*.bvh")
    assert [(trial.subject, trial.name, trial.action) for trial in trials] == [
        ("S1", "sit-2", "sit"),
        ("S1", "walking_01", "walking"),
        ("S2", "walking_01", "walking"),
    ]


def test_a_file_named_by_a_number_is_its_own_action(tmp_path):
    (tmp_path / "01_02.bvh").touch()
    assert find_trials(tmp_path, "*.bvh")[0].action == "01_02"


def test_a_table_names_subject_and_action(captures):
    rows = table(captures, "action,trial,more,subject\nidle,sit-2,x,anna\nwalk,walking_01,,ben\n")
    trials = find_trials(captures, "S1/*.bvh", rows)
    assert [(trial.subject, trial.action) for trial in trials] == [("anna", "idle"), ("ben", "walk")]


def test_a_table_may_say_how_many_frames_a_trial_has(captures):
    rows = table(captures, "trial,subject,action,frames\nsit-2,anna,idle, 120\nwalking_01,ben,walk,\n")
    assert [trial.frames for trial in find_trials(captures, "S1/*.bvh", rows)] == [120, None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trial,subject,action,frames\nsit-2,a,b,12.5\n", "found: frames 12.5 of trial sit-2"),
        ("trial,subject\nsit-2,a\n", "no column action"),
        ("", "no column trial, subject, action"),
        ("trial,subject,action\nsit-2,a,b\n", "no row for walking_01.bvh"),
        ("trial,subject,action\nsit-2,a,b\nsit-2,a,c\n", "one name; found: sit-2"),
        ("trial,subject,action\nsit-2,,b\n", "empty cell in row 1"),
        ("trial,subject,action\nsit-2\n", "empty cell in row 1"),
        ("trial,subject,action\nsit-2,a/b,sit\nwalking_01,x,y\n", "no usable name; found: a/b"),
    ],
)
def test_a_wrong_table_is_refused(captures, text, message):
    with pytest.raises(MixsteError, match=message):
        find_trials(captures, "S1/*.bvh", table(captures, text))


def test_two_files_for_one_row_are_refused(captures):
    rows = table(captures, "trial,subject,action\nwalking_01,a,b\n")
    with pytest.raises(MixsteError, match="one name; found: a/walking_01"):
        find_trials(captures, "*/walking*.bvh", rows)


def test_no_folder_no_file_and_no_table_are_refused(captures):
    with pytest.raises(MixsteError, match="no folder"):
        find_trials(captures / "none", "*.bvh")
    with pytest.raises(MixsteError, match=r"no file matches \*\.amc"):
        find_trials(captures, "*.amc")
    with pytest.raises(MixsteError, match=r"cannot read .*none\.csv"):
        find_trials(captures, "*/*.bvh", captures / "none.csv")
