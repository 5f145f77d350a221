"""MLflow's model registry: make a version of a model folder, and find what the alias stands at."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import mixste
from mixste.models.checkpoint import ModelConfig
from pipelines import store

_NEEDED = ("einops", "mlflow", "numpy", "pyarrow", "pyyaml", "safetensors", "scipy", "torch")


def requirements() -> list[str]:
    """Return what the served model needs, at the versions installed here."""
    return [f"{name}=={version(name).split('+')[0]}" for name in _NEEDED]


def log_model(handle: store.Handle, folder: Path, config: ModelConfig, example: np.ndarray) -> str:
    """Store a model folder and its code with a run; return the URI. `example` is keypoints `b t j c`."""
    import mlflow

    mlflow.set_tracking_uri(handle.uri)
    with mlflow.start_run(run_id=handle.run_id):
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(Path(__file__).with_name("served.py")),
            artifacts={"model": str(folder.resolve())},
            code_paths=[str(Path(mixste.__file__).parent)],
            signature=signature(config),
            input_example=example,
            pip_requirements=requirements(),
        )
    return str(logged.model_uri)


def signature(config: ModelConfig) -> Any:
    """Return the MLflow signature: keypoints `b t j c` to joints `b t j 3`, float32, and the parameter `flip`."""
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    joints, single = config.joints, np.dtype(np.float32)
    return ModelSignature(
        Schema([TensorSpec(single, (-1, -1, joints, config.model.channels))]),
        Schema([TensorSpec(single, (-1, -1, joints, 3))]),
        ParamSchema([ParamSpec("flip", "boolean", True)]),
    )


def add_version(handle: store.Handle, name: str, model_uri: str, tags: Mapping[str, object]) -> str:
    """Make the next version of the registered model `name` and return its number."""
    from mlflow.exceptions import MlflowException

    client = store.client(handle.uri)
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    model_id = model_uri.removeprefix("models:/")
    text = {key: str(value) for key, value in tags.items()}
    made = client.create_model_version(name, model_uri, run_id=handle.run_id, tags=text, model_id=model_id)
    return str(made.version)


def same_version(uri: str, name: str, tags: Mapping[str, object]) -> str | None:
    """Return the newest version of `name` whose tags have all these values."""
    found = store.client(uri).search_model_versions(f"name = '{name}'")
    fitting = [v for v in found if all(v.tags.get(key) == str(value) for key, value in tags.items())]
    return str(max(int(v.version) for v in fitting)) if fitting else None


@dataclass(frozen=True)
class Version:
    """A registered version's number and tags."""

    number: str
    tags: dict[str, str]


def at_alias(uri: str, name: str, alias: str) -> Version | None:
    """Return the version the alias stands at; None if it stands nowhere."""
    from mlflow.exceptions import MlflowException

    try:
        found = store.client(uri).get_model_version_by_alias(name, alias)
        return Version(str(found.version), dict(found.tags))
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def verdict(metric: str, error: float, test_hash: str, champion: Version | None, alias: str) -> tuple[bool, str]:
    """Decide whether a model of this test error (mm), as `p_mpjpe`, becomes the champion, and say why."""
    found = f"test {metric.upper().replace('_', '-')} {error:.1f} mm"
    if champion is None:
        return True, f"{alias}: the first version, {found}"
    best, place = float(champion.tags[f"test_{metric}_mm"]), f"version {champion.number}"
    if champion.tags["test_data_hash"] != test_hash:
        return False, f"not {alias}: {place} was tested on other data, so the two cannot be compared"
    if error < best:
        return True, f"{alias}: {found} is {best - error:.1f} mm lower than that of {place}"
    return False, f"not {alias}: {found} is {error - best:.1f} mm higher than that of {place}"


def move_alias(uri: str, name: str, alias: str, number: str) -> None:
    """Let the alias stand at version `number`."""
    store.client(uri).set_registered_model_alias(name, alias, number)
