"""Requests as JSON: what is asked is read or refused by name, what is answered is the lifter's motion."""

import json

import numpy as np
import pytest

from mixste.errors import MixsteError
from mixste.motion import Motion
from mixste.payload import Answering, Asked, Deadline, read_keypoints, read_params, read_request, refusal
from tests.unit.lifters import SIZE, lifter, person

PARAMS = {"skeleton": "h36m17", "fps": 50, "image_size": list(SIZE)}


@pytest.fixture(scope="module")
def answering():
    own = lifter()
    return Answering(own.model, own.config)


@pytest.mark.parametrize("flip", [True, False])
def test_an_answer_is_the_lifters_motion_to_a_micrometre(answering, flip):
    clip = person(30, skeleton="coco17")
    given = {**PARAMS, "skeleton": "coco17"}
    answer = json.loads(json.dumps(answering(clip.tolist(), {**given, "flip": flip})))
    motion = lifter(flip=flip).lift(clip, **given)
    np.testing.assert_allclose(answer["joints"], motion.joints, atol=1e-6)
    assert len(answer.pop("joint_names")) == motion.joints.shape[1]
    assert Motion(**{**answer, "joints": motion.joints}).report == motion.report
    assert (answer["fps"], answer["unit"], answer["frame"], answer["rooted"]) == (50, "m", "camera", True)


def test_null_is_a_missing_joint_as_nan_is(answering):
    clip = person(12)
    clip[3, 5, :2] = np.nan
    null = json.loads(json.dumps(clip.tolist()).replace("NaN", "null"))
    assert answering(null, PARAMS) == answering(clip, PARAMS)
    assert any("NaN" in said for said in answering(null, PARAMS)["report"])


def test_params_that_are_not_given_are_the_lifters_own():
    assert read_params(PARAMS) == Asked("h36m17", 50.0, (1000.0, 800.0), threshold=0.05, flip=True)
    assert read_params({**PARAMS, "flip": None}).flip


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"skelton": "coco17"},
            r"found: skelton: 'coco17'; expected: skelton: no such key \(did you mean skeleton\?\)",
        ),
        ({"fps": None, "image_size": []}, "fps: a value: the key is missing; image_size: a value: the key is missing"),
        ({"skeleton": "/etc/passwd.yaml"}, r"skeleton: '/etc/passwd.yaml'; expected: skeleton: one of .*coco17"),
        ({"fps": "30"}, "found: fps: '30'; expected: fps: a number"),
        ({"image_size": [1, 2, 3]}, "image_size: two numbers: width and height in pixels"),
        ({"threshold": 2}, "threshold: between 0 and 1"),
        ({"flip": 1}, "flip: true or false"),
    ],
)
def test_every_wrong_param_is_refused_by_name(changed, message):
    with pytest.raises(MixsteError, match=message):
        read_params({**PARAMS, **changed})


@pytest.mark.parametrize("params", [7, "fps", [["fps", 30]]])
def test_params_that_are_no_object_are_refused(params):
    with pytest.raises(MixsteError, match=r"params cannot be used; found: .*; expected: an object"):
        read_params(params)


@pytest.mark.parametrize(
    ("inputs", "found"),
    [
        ([[[1, 2], [3]]], "inhomogeneous"),
        ([[["1", 2]]], "text"),
        ([[[True, False]]], "bool"),
        ([[[{}, 2]]], "not 'dict'"),
        ({"keypoints": []}, "not 'dict'"),
        ([[[10**400, None]]], "too large"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(inputs, found):
    with pytest.raises(
        MixsteError, match=rf"inputs are no array of numbers; found: .*{found}.*expected: a list of frames"
    ):
        read_keypoints(inputs)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"inputs": [', "no JSON; found: Expecting value: line 1 column 13"),
        (b"\xff\xfe{}", "no JSON"),
        (b"[" * 100_000, "no JSON; found: .*recursion"),
        (b"9" * 5000, "no JSON; found: Exceeds the limit"),
        (b"[]", "cannot read this request; found: list"),
        (b'{"instances": [], "params": {}}', "found: the keys 'instances', 'params'"),
        (b'{"inputs": [], "fps": 30}', "found: the keys 'inputs', 'fps'"),
    ],
)
def test_a_body_that_is_no_request_is_refused(body, message):
    with pytest.raises(MixsteError, match=message):
        read_request(body)


def test_a_body_that_is_a_request_is_inputs_and_params():
    assert read_request(b'{"inputs": [1], "params": {"fps": 30}}') == ([1], {"fps": 30})
    assert read_request(b'{"inputs": null}') == (None, None)


def test_a_refusal_has_the_parts_of_the_error_and_does_not_send_back_what_was_sent():
    given = refusal("BAD_REQUEST", MixsteError("cannot", found="x" * 10_000, mend="do"))
    assert given["message"].startswith("cannot; found: xxx")
    assert (given["error_code"], given["what"], given["mend"]) == ("BAD_REQUEST", "cannot", "do")
    assert "expected" not in given
    assert len(json.dumps(given)) < 2500


def test_a_lifting_ends_at_its_deadline_or_when_it_is_stopped(answering):
    clip = person(200)
    with pytest.raises(TimeoutError, match="of 200 frames"):
        answering(clip, PARAMS, Deadline(0))
    stopped = Deadline(60)
    answering(clip, PARAMS, stopped)
    stopped.stopped = True
    with pytest.raises(TimeoutError):
        answering(clip, PARAMS, stopped)
