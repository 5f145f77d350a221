"""The tests' models are tiny: more than one thread only makes them wait for each other."""

import pytest
import torch

from mixste.models.kernels import native


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Run torch on one thread."""
    torch.set_num_threads(1)


@pytest.fixture
def without_kernels(monkeypatch):
    """Let networks be computed by torch's own operations, which hooks and counters see."""
    monkeypatch.setattr(native, "library", lambda: None)


@pytest.fixture
def no_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "")  # so that what is set below is undone
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT")
