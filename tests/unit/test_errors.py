import pickle

from mixste.errors import MixsteError, counted, did_you_mean, shown
from mixste.settings.rules import Problem, SettingsError


def test_a_message_says_what_was_tried_found_expected_and_how_to_mend_it():
    error = MixsteError("cannot read a.csv.", found=3, expected="4", mend="add one")
    assert str(error) == "cannot read a.csv; found: 3; expected: 4; to mend it: add one"


def test_parts_that_are_not_given_are_left_out():
    assert str(MixsteError("cannot read a.csv", expected=0)) == "cannot read a.csv; expected: 0"


def test_errors_keep_their_message_from_process_to_process():
    settings = SettingsError([Problem("lr", -1, "above 0"), Problem("epochs", 0, "1 or more")], where="params.yaml")
    for error in (MixsteError("cannot read a.csv", mend="write 1."), settings):
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301  (our own bytes)
        assert type(copy) is type(error)
        assert str(copy) == str(error)


def test_no_part_of_a_message_has_a_password():
    error = MixsteError("cannot open s3://key:secret@bucket/a@b", found=OSError("http://me:secret@host:80/x failed"))
    assert str(error) == "cannot open s3://bucket/a@b; found: http://host:80/x failed"
    assert error.parts["found"] == "http://host:80/x failed"
    for text in ("models:/mixste@champion", "sqlite:////a@b/mlflow.db", "http://host/?mail=a@b"):
        assert shown(text) == text


def test_the_known_name_that_is_most_like_an_unknown_one_is_suggested():
    assert did_you_mean("modle", ["data", "model"]) == " (did you mean model?)"
    assert did_you_mean("x", ["data", "model"]) == ""


def test_a_number_has_its_noun_in_singular_or_plural():
    assert [counted(number, "epoch") for number in (0, 1, 2)] == ["0 epochs", "1 epoch", "2 epochs"]
    assert [counted(1, "person"), counted(3, "person")] == ["1 person", "3 people"]
    assert [counted(1.0, "GPU"), counted(0.5, "GPU")] == ["1 GPU", "0.5 GPUs"]
