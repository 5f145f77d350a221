"""What every test needs: nothing calls home, and a working folder of its own where it asks for one."""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

os.environ.update(
    {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "RAY_USAGE_STATS_ENABLED": "0",
        "DVC_NO_ANALYTICS": "1",
        "MPLBACKEND": "agg",
        "NO_COLOR": "1",
    }
)
for inherited in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_NAME", "RAY_ADDRESS"):
    os.environ.pop(inherited, None)

from pipelines.process.environment import set_environment  # noqa: E402  (after the variables it must not overwrite)

set_environment()


LONGEST = ("test_pipeline.py", "test_job.py", "test_distributed.py")  # minutes each


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that none ends last and alone; skip what needs a GPU where there is none."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
    wanting = [item for item in items if item.get_closest_marker("gpu")]
    if not wanting:
        return
    import torch

    if not torch.cuda.is_available():
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the root of the checkout."""
    return ROOT


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder with this checkout's params.yaml and conf/, and make it the current one."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # mlflow.set_tracking_uri leaves it behind
    return tmp_path


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an MLflow database without runs; making one takes seconds, copying it none."""
    from pipelines.tracking import store

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    store.client(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def tracked_workplace(workplace: Path, empty_store: Path) -> Path:
    """Return the workplace with an MLflow store in it."""
    shutil.copy(empty_store, workplace)
    return workplace
