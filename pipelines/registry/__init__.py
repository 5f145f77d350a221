"""MLflow's model registry: make a version of a model folder, read what there is, write tags and the alias.

`candidate` is what is known of a model that asks to be registered, `signature` and `served` are how MLflow runs it,
`succession` says who is champion, and `gate` whether a version beats the champion.
"""

import fcntl
import hashlib
import logging
import os
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import mixste
from mixste.errors import MixsteError
from mixste.scoring.paired import ClipErrors, read_clip_errors
from pipelines.places import PER_CLIP
from pipelines.registry.succession import HEADLINE, State, Version
from pipelines.tracking import store

log = logging.getLogger(__name__)
AS_REGISTERED = "as-registered"  # the folder beside a version's weights; a dash is in no model's name
MODEL = "model"  # the tag that says which model's rows of PER_CLIP are the version's; without it there are none
_NEEDED = ("einops", "mlflow", "numpy", "pyarrow", "pyyaml", "safetensors", "scipy", "torch")
_ANSWER = 5.0  # seconds that tell a file that is gone from a server that is
_PATIENCE = 120.0  # seconds to wait for another registration on this machine


def requirements() -> list[str]:
    """Return what the served model needs, at the versions installed here."""
    return [f"{name}=={version(name).split('+')[0]}" for name in _NEEDED]


@dataclass(frozen=True)
class Storable:
    """A model folder, an example (pixels `t j c`, params), a folder of what it was made of, and all parameters."""

    folder: Path
    example: np.ndarray
    example_params: Mapping[str, Any]
    beside: Path
    params: Mapping[str, str]


def log_model(handle: store.Handle, model: Storable) -> str:
    """Store a model and its code with a run and return the model's id; it keeps everything if the run is deleted."""
    import mlflow

    from pipelines.registry.signature import signature

    mlflow.set_tracking_uri(handle.uri)
    with mlflow.start_run(run_id=handle.run_id), _no_bytecode(), store.transfer(handle.uri):
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("served.py")),
            artifacts={"model": str(model.folder.resolve()), AS_REGISTERED: str(model.beside.resolve())},
            code_paths=[str(Path(mixste.__file__).parent)],
            signature=signature(),
            input_example=(model.example, model.example_params),
            pip_requirements=requirements(),
            params=dict(model.params),
        )
    return str(logged.model_id)


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """Leave no `__pycache__` in the store, where MLflow loads the model once to see that it can be."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


@dataclass(frozen=True)
class Shelf:
    """One registered model and its alias in a store; what `pipelines.registry.succession` works on."""

    uri: str
    name: str
    alias: str
    _read: dict[int, ClipErrors | None] = field(default_factory=dict, compare=False)

    @property
    def client(self) -> Any:
        """The store's MlflowClient."""
        return store.client(self.uri)

    def state(self) -> State:
        """Return all versions and where the alias stands, which is read first: its version is among them."""
        aliases: dict[str, str] = {}
        with _if_it_is_there():
            aliases = self.client.get_registered_model(self.name).aliases
        alias = int(aliases[self.alias]) if self.alias in aliases else None
        return State(tuple(sorted(self._versions(), key=lambda found: found.number)), alias)

    def tag(self, number: int, tags: Mapping[str, object]) -> None:
        """Set tags of a version, one after the other; nothing if it was deleted meanwhile."""
        for key, value in tags.items():
            with _if_it_is_there():
                self.client.set_model_version_tag(self.name, str(number), key, str(value))

    def untag(self, number: int, *keys: str) -> None:
        """Remove those of these tags that a version has."""
        for key in keys:
            with _if_it_is_there():
                self.client.delete_model_version_tag(self.name, str(number), key)

    def move_alias(self, number: int) -> None:
        """Let the alias stand at a version; nothing if it was deleted meanwhile."""
        with _if_it_is_there():
            self.client.set_registered_model_alias(self.name, self.alias, str(number))

    def same(self, tags: Mapping[str, object]) -> int | None:
        """Return the first version whose tags have all these values."""
        wanted = {key: str(value) for key, value in tags.items()}
        return next((own.number for own in self.state().versions if wanted.items() <= own.tags.items()), None)

    def add(self, run_id: str, model_id: str, tags: Mapping[str, object], identity: Collection[str]) -> int:
        """Make a version of a stored model, all tags at once, and return its number.

        If another machine has made one whose tags of these names are the same, the first of the two stays.
        """
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        text, source = {key: str(value) for key, value in tags.items()}, f"models:/{model_id}"
        made = self.client.create_model_version(self.name, source, run_id=run_id, tags=text, model_id=model_id)
        first = self.same({key: tags[key] for key in identity})
        if first is None or first == int(made.version):
            return int(made.version)
        self.client.delete_model_version(self.name, str(made.version))
        self.client.delete_logged_model(model_id)
        return first

    def download(self, number: int, name: str, place: Path) -> Path:
        """Fetch a file or folder of a version's model into `place`, wherever this process logs to."""
        import mlflow

        location = self.client.get_model_version_download_uri(self.name, str(number))
        with store.transfer(self.uri):
            found = mlflow.artifacts.download_artifacts(
                f"{location}/{name}", dst_path=str(place), tracking_uri=self.uri
            )
        return Path(found)

    def clip_errors(self, found: Version) -> ClipErrors | None:
        """Read a version's errors by clip; None if it was registered without. MixsteError if they are gone."""
        if found.number not in self._read:
            self._read[found.number] = self._clip_errors(found) if {MODEL, HEADLINE} <= found.tags.keys() else None
        return self._read[found.number]

    def _clip_errors(self, found: Version) -> ClipErrors:
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = self.download(found.number, f"artifacts/{AS_REGISTERED}/{PER_CLIP.name}", Path(folder))
            except Exception as error:
                store.knock(self.uri, _ANSWER)
                what = f"the errors by clip of version {found.number} are gone"
                raise MixsteError(what, found=(str(error).splitlines() or [""])[0]) from error
            return read_clip_errors(path, found.tags[MODEL], found.tags[HEADLINE])

    def _versions(self) -> Iterator[Version]:
        token = None
        while True:
            page = self.client.search_model_versions(f"name = '{self.name}'", max_results=1000, page_token=token)
            yield from (Version(int(found.version), dict(found.tags)) for found in page)
            token = page.token
            if not token:
                return


@contextmanager
def taking_turns(uri: str, name: str) -> Iterator[None]:
    """Wait for whoever registers or rolls back a model of this name in the same store on this machine.

    Nothing depends on it but that two registrations of one model make one version; so nobody waits for ever.
    """
    place = hashlib.sha256(f"{uri} {name}".encode()).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"mixste-registry-{os.getuid()}-{place}.lock"
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        _acquire(lock, name)
        yield
    finally:
        os.close(lock)


def _acquire(lock: int, name: str) -> None:
    until, told = time.monotonic() + _PATIENCE, False
    while time.monotonic() < until:
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        if not told:
            log.info("waiting for another registration of %s", name)
            told = True
        time.sleep(0.05)
    log.warning("another registration of %s has not ended within %.0f seconds; going on beside it", name, _PATIENCE)


@contextmanager
def _if_it_is_there() -> Iterator[None]:
    """Pass over what MLflow says of a model, version, alias or tag that is not there."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
