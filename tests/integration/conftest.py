"""One small Ray cluster in this machine for every integration test that needs one."""

from collections.abc import Iterator

import pytest

from benchmarks.drills.object_store import KEYS
from pipelines import cluster


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """Start Ray on two CPUs or what the machine has, as stages do, which find it and start none of their own."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setenv(name, value)  # for the workers
        cluster.connect(cluster.LOCAL)
        import ray

        yield
        ray.shutdown()
