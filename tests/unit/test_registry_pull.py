"""A registered model by its name: fetched, or refused with what there is instead."""

import shutil
import socket

import numpy as np
import pytest

from mixste import registry
from mixste.errors import MixsteError
from mixste.lifter import Lifter
from mixste.models.checkpoint import save_model
from tests.unit.lifters import SIZE, lifter, person

NAME = "models:/mixste@champion"


@pytest.fixture(scope="module")
def own():
    return lifter()


@pytest.fixture(scope="module")
def store(own, empty_store, tmp_path_factory):
    """A registry as MLflow stores pyfunc models: version 1 is the champion, version 2 has no model folder."""
    import yaml
    from mlflow import MlflowClient

    place = tmp_path_factory.mktemp("registry")
    uri = f"sqlite:///{shutil.copy(empty_store, place / 'mlflow.db')}"
    save_model(place / "good/artifacts/finetuned", own.model.state_dict(), own.config)
    (place / "bad").mkdir()
    flavors = {"python_function": {"artifacts": {"model": {"path": "artifacts/finetuned"}}}}
    (place / "good/MLmodel").write_text(yaml.safe_dump({"flavors": flavors}))
    (place / "bad/MLmodel").write_text(yaml.safe_dump({"flavors": {"sklearn": {}}}))
    client = MlflowClient(uri, uri)
    client.create_registered_model("mixste")
    for folder in ("good", "bad"):
        client.create_model_version("mixste", (place / folder).as_uri(), tags={"test_mpjpe_mm": "43.21"})
    client.set_registered_model_alias("mixste", "champion", "1")
    return uri


@pytest.mark.parametrize("uri", [NAME, "models:/mixste/1"])
def test_a_registered_model_lifts_as_the_one_that_was_registered(own, store, uri):
    pulled = Lifter.from_registry(uri, store)
    given = {"skeleton": "h36m17", "fps": 50, "image_size": SIZE}
    assert np.array_equal(pulled.lift(person(), **given).joints, own.lift(person(), **given).joints)


def test_the_store_is_the_one_that_the_environment_names(store, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    found = registry.find(NAME)
    assert (found.name, found.version, found.aliases, found.store) == ("mixste", "1", ("champion",), store)
    assert found.tags["test_mpjpe_mm"] == "43.21"
    assert Lifter.load(NAME).config.fps == 50


def test_the_champions_are_found_whatever_their_models_are_called(store, tmp_path):
    from mlflow import MlflowClient

    uri = f"sqlite:///{shutil.copy(store.removeprefix('sqlite:///'), tmp_path / 'mlflow.db')}"
    client = MlflowClient(uri, uri)
    client.delete_registered_model_alias("mixste", "champion")
    assert registry.champions(uri) == []
    for name in (*(f"a{number}" for number in range(100)), "mine"):  # a page has 100
        client.create_registered_model(name)
    for name in ("mixste", "mine"):
        version = client.create_model_version(name, tmp_path.as_uri()).version
        client.set_registered_model_alias(name, "champion", version)
    assert [(one.name, one.version) for one in registry.champions(uri)] == [("mine", "1"), ("mixste", "3")]


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("models:/mixste@best", r"there is no models:/mixste@best in .*found: versions 1, 2; @champion at 1"),
        ("models:/mixste/7", "versions 1, 2; @champion at 1"),
        ("models:/other@champion", "found: the models mixste"),
        ("models:/mixste", "expected: models:/NAME@ALIAS or models:/NAME/VERSION"),
        ("models:/mixste/2", "models:/mixste/2 is no model of this project; found: no model folder in it"),
    ],
)
def test_a_version_that_is_not_there_is_refused_with_what_is(store, uri, message):
    with pytest.raises(MixsteError, match=message):
        Lifter.from_registry(uri, store)


def test_files_that_are_gone_are_one_clear_error(store, tmp_path):
    from mlflow import MlflowClient

    client = MlflowClient(store, store)
    client.create_registered_model("lost")
    client.create_model_version("lost", (tmp_path / "nowhere").as_uri())
    with pytest.raises(MixsteError, match="the files of lost version 1 cannot be fetched"):
        Lifter.from_registry("models:/lost/1", store)
    client.delete_registered_model("lost")


def test_without_a_store_nothing_is_made_and_the_message_says_how_to_name_one(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # which tests of this process may have left
    with pytest.raises(
        MixsteError, match=r"there is no model registry; found: no file .*MLFLOW_TRACKING_URI: sqlite:////abs"
    ):
        Lifter.from_registry(NAME)
    assert list(tmp_path.iterdir()) == []


def test_a_uri_that_is_none_of_mlflows_is_refused_wherever_it_is_read(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "localhost:5000")
    for use in (registry.default_store, lambda: Lifter.from_registry(NAME)):
        with pytest.raises(MixsteError, match="MLFLOW_TRACKING_URI=http://localhost:5000"):
            use()
    with pytest.raises(MixsteError, match="tracking_uri=http://localhost:6000"):
        Lifter.from_registry(NAME, "localhost:6000")


def test_a_store_that_mlflow_cannot_open_is_one_clear_error(tmp_path):
    (tmp_path / "mlflow.db").write_text("no database, but as long as one's first page is expected to be" * 20)
    with pytest.raises(
        MixsteError, match=r"mlflow.db is no model registry that can be used from here; found: .*not a "
    ):
        registry.find(NAME, f"sqlite:///{tmp_path}/mlflow.db")


def test_a_server_that_is_away_is_given_up_on_within_seconds():
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection and never answers
        with pytest.raises(MixsteError, match=r"does not answer; found: ReadTimeout within 0.2 seconds"):
            registry.reach(f"http://127.0.0.1:{silent.getsockname()[1]}", 0.2)
        port = silent.getsockname()[1]
    with pytest.raises(MixsteError, match=r"does not answer; found: ConnectionError"):
        Lifter.from_registry(NAME, f"http://127.0.0.1:{port}")
