"""Where there is no registry, a rollback makes none."""

from pathlib import Path

import pytest

from mixste.errors import MixsteError
from pipelines import rollback


@pytest.mark.parametrize("named", [None, "sqlite:///nope.db"])
def test_a_registry_that_is_not_there_is_not_made(workplace: Path, monkeypatch: pytest.MonkeyPatch, named: str | None):
    before = sorted(workplace.iterdir())
    if named:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", named)
    monkeypatch.setattr("sys.argv", ["rollback", "--list"])
    missing = workplace / ("nope.db" if named else "mlflow.db")
    with pytest.raises(MixsteError, match=f"there is no model registry; found: no file {missing}; "):
        rollback.main()
    assert sorted(workplace.iterdir()) == before
