"""One small Ray cluster in this machine for every integration test that needs one."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """Start Ray on two CPUs; `pipelines.cluster` finds it and starts none of its own."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield
    ray.shutdown()
