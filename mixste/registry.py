"""A registered model by its name: the only file of mixste that reaches MLflow, and only when it is asked."""

import os
import re  # nothing slow up here: the command line waits for it
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mixste import zoo
from mixste.errors import MixsteError
from mixste.tracking_uri import FORMS, VARIABLE, usable

ALIAS = "champion"
CHAMPION = f"models:/mixste@{ALIAS}"
URI = re.compile(r"models:/([^/@]+)(?:@([^/@]+)|/([0-9]+))")
ANSWER = 5.0  # seconds that a server has to answer
ENVIRONMENT = {  # what MLflow reads when imported, unless the user has set it: quiet, no telemetry, no long waits
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}


class Registered(NamedTuple):
    """A version of a registered model; `tags` are its metrics, data and code as `pipelines.register` wrote them."""

    name: str
    version: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]
    store: str


def is_registered(model: object) -> bool:
    """Say whether a name of a model is one of a registry and not of a folder."""
    return str(model).startswith("models:")


def default_store() -> str:
    """Return MLFLOW_TRACKING_URI, or else `own_store`; MixsteError if MLflow never has a store at such a URI."""
    named = os.environ.get(VARIABLE)
    return usable(named) if named else own_store()


def own_store() -> str:
    """Return the sqlite file in the current folder, whether it is there or not.

    In a folder below a checkout's `.dvc/tmp`, where DVC runs an experiment and then deletes it, the checkout's own.
    """
    here = Path.cwd()
    checkout = next((folder.parent for folder in here.parents if folder.name == ".dvc"), here)
    return f"sqlite:///{(checkout / 'mlflow.db').resolve()}"


def store_uri(tracking_uri: str | None = None) -> str:
    """Return where to ask: this, MLFLOW_TRACKING_URI, or mlflow.db in the current folder; MixsteError if it is gone."""
    uri = usable(tracking_uri, "tracking_uri") if tracking_uri else default_store()
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        raise MixsteError(
            "there is no model registry",
            found=f"no file {Path(uri.removeprefix('sqlite:///')).absolute()}",
            mend=f"run this where `dvc repro` was run, or name the registry in {VARIABLE}: {FORMS}; or take one of "
            f"mixste's own models: {', '.join(zoo.names())}",
        )
    return uri


def find(uri: str, tracking_uri: str | None = None) -> Registered:
    """Return the version that `models:/NAME@ALIAS` or `models:/NAME/VERSION` names, without its files.

    MixsteError if there is none, or if no registry answers.
    """
    name, alias, version = _parts(uri)
    store = store_uri(tracking_uri)
    client = _client(store)
    from mlflow.exceptions import MlflowException

    try:
        found = client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, version)
    except MlflowException as error:
        raise _explained(uri, name, store, client, error) from error
    return _registered(found, store)


def champions(tracking_uri: str | None = None) -> list[Registered]:
    """Return the version of each registered model, of whatever name, that has the alias `champion`, without its files.

    MixsteError if no registry answers.
    """
    store = store_uri(tracking_uri)
    client = _client(store)
    names = [model.name for model in _models(client) if ALIAS in model.aliases]
    return [_registered(client.get_model_version_by_alias(name, ALIAS), store) for name in names]


def pull(uri: str, place: Path, tracking_uri: str | None = None) -> Path:
    """Fetch the model folder of `models:/NAME@ALIAS` or `models:/NAME/VERSION` into `place` and return it.

    MixsteError if there is no such version, no registry answers, or the model is not one of this project.
    """
    found = find(uri, tracking_uri)
    location = _client(found.store).get_model_version_download_uri(found.name, found.version)
    inside = _model_folder(_fetch(f"{location}/MLmodel", place, found), uri)
    return _fetch(f"{location}/{inside}", place, found)


def _registered(found: Any, store: str) -> Registered:
    return Registered(found.name, str(found.version), tuple(found.aliases), dict(found.tags), store)


def _parts(uri: str) -> tuple[str, str | None, str | None]:
    match = URI.fullmatch(uri)
    if not match:
        expected = "models:/NAME@ALIAS or models:/NAME/VERSION, as models:/mixste@champion"
        raise MixsteError("this names no registered model", found=uri, expected=expected)
    return match[1], match[2], match[3]


def _client(uri: str) -> Any:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    reach(uri)
    from mlflow import MlflowClient

    try:
        return MlflowClient(uri, uri)
    except Exception as error:  # of MLflow, of SQLAlchemy, or of a database's driver that is not installed
        found = (str(error).splitlines() or [type(error).__name__])[0]
        raise MixsteError(f"{uri} is no model registry that can be used from here", found=found) from error


def reach(uri: str, seconds: float = ANSWER) -> None:
    """Raise MixsteError if `uri` is a server that does not answer within so many seconds."""
    try:
        knock(uri, seconds)
    except ConnectionError as error:
        mend = f"start it, or name another in {VARIABLE}"
        raise MixsteError(f"the model registry {uri} does not answer", found=str(error), mend=mend) from error


def knock(uri: str, seconds: float) -> None:
    """Raise ConnectionError if `uri` is a server that does not answer within so many seconds."""
    if is_server(uri):
        import requests

        try:
            requests.get(f"{uri.rstrip('/')}/health", timeout=seconds)
        except requests.RequestException as error:
            raise ConnectionError(f"{type(error).__name__} within {seconds:g} seconds") from error


def is_server(uri: str) -> bool:
    """Say whether a store is a server, which can be away, and not a file."""
    return uri.lower().startswith(("http://", "https://"))


def _models(client: Any) -> list[Any]:
    """All registered models, which MLflow gives by pages."""
    page = client.search_registered_models()
    models = [*page]
    while page.token:
        page = client.search_registered_models(page_token=page.token)
        models += page
    return models


def _explained(uri: str, name: str, store: str, client: Any, error: Exception) -> MixsteError:
    """Return what to tell of a version that cannot be found: what there is instead."""
    what = f"there is no {uri} in {store}"
    try:
        names = [model.name for model in _models(client)]
        if name not in names:
            return MixsteError(what, found=f"the models {', '.join(names)}" if names else "no registered model")
        aliases = client.get_registered_model(name).aliases
        versions = sorted(int(one.version) for one in client.search_model_versions(f"name = '{name}'"))
    except Exception:
        return MixsteError(what, found=str(error).splitlines()[0])
    stands = ", ".join(f"@{alias} at {version}" for alias, version in aliases.items()) or "no alias"
    return MixsteError(what, found=f"versions {', '.join(map(str, versions))}; {stands}")


def _fetch(location: str, place: Path, found: Registered) -> Path:
    from mlflow.artifacts import download_artifacts

    try:
        return Path(download_artifacts(location, dst_path=str(place), tracking_uri=found.store))
    except Exception as error:
        what = f"the files of {found.name} version {found.version} cannot be fetched"
        raise MixsteError(what, found=(str(error).splitlines() or [type(error).__name__])[0]) from error


def _model_folder(description: Path, uri: str) -> str:
    """Return where in a stored model the model folder is, as MLflow's own file says."""
    import yaml

    tree = yaml.safe_load(description.read_text(encoding="utf-8"))
    try:
        return str(tree["flavors"]["python_function"]["artifacts"]["model"]["path"])
    except (KeyError, TypeError):
        expected = "one that `pipelines.register` made"
        raise MixsteError(
            f"{uri} is no model of this project", found="no model folder in it", expected=expected
        ) from None
