"""Which URIs MLflow can have a store at, and what is said of the others."""

from importlib.metadata import EntryPoint, EntryPoints

import pytest

from mixste.errors import MixsteError
from mixste.tracking_uri import FORMS, usable


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("{here}/mlflow.db", "sqlite:///{here}/mlflow.db"),
        ("mlflow.db", "sqlite:///{here}/mlflow.db"),
        ("file://{here}/my%20runs.db", "sqlite:///{here}/my runs.db"),
        ("sqlite:{here}/mlflow.db", "sqlite:///{here}/mlflow.db"),
        ("sqlite://mlflow.db", "sqlite:///{here}/mlflow.db"),
        (".", "sqlite:///{here}/mlflow.db"),
        ("mlruns", "sqlite:///{here}/mlruns/mlflow.db"),
        ("localhost:5000", "http://localhost:5000"),
        ("127.0.0.1:5000/", "http://127.0.0.1:5000/"),
        ("[::1]:5000", "http://[::1]:5000"),
    ],
)
def test_a_uri_that_is_none_of_mlflows_is_refused_with_the_one_that_was_meant(monkeypatch, tmp_path, named, meant):
    monkeypatch.chdir(tmp_path)
    named, meant = named.format(here=tmp_path), meant.format(here=tmp_path)
    with pytest.raises(MixsteError) as caught:
        usable(named)
    assert caught.value.parts == {
        "what": "MLFLOW_TRACKING_URI names no store of MLflow's",
        "found": named,
        "expected": f"{FORMS}, or a URI of postgresql, mysql, mssql or databricks",
        "mend": f"set MLFLOW_TRACKING_URI={meant}",
    }


@pytest.mark.parametrize("uri", ["postgres://me:secret@host/db", "uc:http://host", " http://host", "http:/host:5000"])
def test_a_uri_that_might_mean_anything_is_to_be_corrected(uri):
    with pytest.raises(MixsteError, match="correct or unset MLFLOW_TRACKING_URI") as caught:
        usable(uri)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("uri", ["me:secret@host:5000", "secret@host:5000", "http:/me:secret@host", "me:secret@host"])
def test_a_password_is_hidden_where_the_uri_is_none(uri):
    with pytest.raises(MixsteError, match="host") as caught:
        usable(uri)
    assert "secret" not in str(caught.value)


def test_where_mlflow_can_have_a_store_is_left_to_it(monkeypatch, tmp_path):
    servers = ["http://host:5000", "https://me:secret@host/mlflow/", "databricks", "databricks://profile"]
    databases = ["sqlite:///mlflow.db", "sqlite:////a/mlflow.db", "sqlite+pysqlite:////a/mlflow.db"]
    others = ["postgresql://me:secret@host/db", "mysql+pymysql://host/db", "mssql+pyodbc://host/db", "postgresql:///db"]
    for uri in (*servers, *databases, *others):
        assert usable(uri) == uri
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    for uri in (str(tmp_path), "mlruns", f"file://{tmp_path}"):
        assert usable(uri) == uri
    (tmp_path / "mlflow.db").touch()
    for uri in (f"{tmp_path}/mlflow.db", "127.0.0.1:5000", "sqlite:/a"):
        with pytest.raises(MixsteError):
            usable(uri)


def test_a_scheme_of_a_plugin_of_mlflows_is_left_to_it(monkeypatch):
    found = EntryPoints([EntryPoint("arn", "sagemaker_mlflow:store", "mlflow.tracking_store")])
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: found.select(group=group))
    assert usable("arn:aws:sagemaker:eu-west-1:1:mlflow-tracking-server/x").startswith("arn:")
