"""Where MLflow keeps runs and models: which URIs can name such a store, and what others were meant to be."""

import os
import re
from pathlib import Path
from urllib.parse import unquote

from mixste.errors import MixsteError

VARIABLE = "MLFLOW_TRACKING_URI"
FORMS = "sqlite:////absolute/path/mlflow.db, http(s)://HOST:PORT"
_STORE = re.compile(  # where MLflow keeps both runs and models
    r"https?://[^/].*|databricks(://[^/].*)?|sqlite(\+\w+)?:///.+|(postgresql|mysql|mssql)(\+\w+)?://.+", re.IGNORECASE
)
_ADDRESS = re.compile(r"([^/@\s]*@)?([\w.-]+|\[[\da-f:]+\]):\d+(/.*)?", re.IGNORECASE)  # a server's, without http://
_PATH = re.compile(r"((file|sqlite):(//)?)?(?!\s*[\w+.-]+:)(?P<path>.*)", re.IGNORECASE)
_LOGIN = re.compile(r"[^/\s]*:[^/\s]*@|^[^/\s]*@")  # also where there is no :// before it


def usable(uri: str, name: str = VARIABLE) -> str:
    """Return `uri` if MLflow can have a store there; else MixsteError, which calls it `name`, says how to write it."""
    if _STORE.fullmatch(uri) or _is_plugins(uri) or _is_folder_of_files(uri):
        return uri
    meant = _meant(uri)
    raise MixsteError(
        f"{name} names no store of MLflow's",
        found=_LOGIN.sub("", uri),
        expected=f"{FORMS}, or a URI of postgresql, mysql, mssql or databricks",
        mend=f"set {name}={meant}" if meant else f"correct or unset {name}",
    )


def _is_plugins(uri: str) -> bool:
    from importlib.metadata import entry_points

    return uri.partition(":")[0] in entry_points(group="mlflow.tracking_store").names


def _is_folder_of_files(uri: str) -> bool:
    """Whether MLflow is allowed to keep everything in files of a folder, which it does no longer by itself."""
    allowed = os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() in ("true", "1")
    path = None if _ADDRESS.fullmatch(uri) or uri.startswith("sqlite:") else _path(uri)
    return allowed and path is not None and not path.is_file()


def _meant(uri: str) -> str | None:
    """The URI of a server whose address this is, or of the file whose path it is; None if it is neither."""
    if _ADDRESS.fullmatch(uri):
        return f"http://{uri}"
    path = _path(uri)
    if path is None:
        return None
    is_file = path.is_file() or (path.suffix and not path.is_dir())
    return f"sqlite:///{path if is_file else path / 'mlflow.db'}"


def _path(uri: str) -> Path | None:
    match = _PATH.fullmatch(uri)
    return Path(unquote(match["path"])).absolute() if match else None
