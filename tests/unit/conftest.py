"""The tests' models are tiny: more than one thread only makes them wait for each other."""

import pytest
import torch


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Run torch on one thread."""
    torch.set_num_threads(1)
