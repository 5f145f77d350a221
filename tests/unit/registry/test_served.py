"""The registered model in MLflow's hands."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from mixste.models.checkpoint import save_model
from mixste.payload import Answering
from tests.unit.lifters import SIZE, lifter, person

PARAMS = {"skeleton": "h36m17", "fps": 50, "image_size": list(SIZE)}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    from pipelines.registry.served import ServedLifter

    own, folder = lifter(), tmp_path_factory.mktemp("model")
    save_model(folder, own.model.state_dict(), own.config)
    model = ServedLifter()
    model.load_context(SimpleNamespace(artifacts={"model": str(folder)}))
    return model


def test_it_answers_as_every_server_does(served):
    own = lifter()
    clip = person(25)
    assert served.predict(None, clip, PARAMS) == Answering(own.model, own.config)(clip, PARAMS)


def test_an_error_is_a_400_that_says_what_was_wrong_and_quotes_no_input(served):
    from pipelines.registry.served import RefusedError

    with pytest.raises(RefusedError) as refused:
        served.predict(None, person(25)[:, :9], PARAMS)
    error = refused.value
    error.message = f"Failed to predict data '{person(25)}'. Error: {error.message}"  # as MLflow's server does
    assert error.get_http_status_code() == 400
    told = json.loads(error.serialize_as_json())
    assert told["found"] == "shape (25, 9, 3)"
    assert told["message"].startswith("cannot lift these keypoints; found: shape (25, 9, 3); expected: `t j c`")
    assert told["error_code"] == "BAD_REQUEST"


def test_it_stops_when_the_server_has_given_up(served, monkeypatch):
    monkeypatch.setenv("MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT", "0")
    with pytest.raises(TimeoutError):
        served.predict(None, person(25), PARAMS)


def test_the_signature_has_the_answers_keys_and_the_params_that_are_read(served):
    from mixste.payload import Asked
    from pipelines.registry.signature import signature

    known = signature()
    assert [spec.name for spec in known.params] == list(Asked.__dataclass_fields__)
    assert list(served.predict(None, np.asarray(person(3)), PARAMS)) == known.outputs.input_names()
