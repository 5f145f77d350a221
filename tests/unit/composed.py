"""Settings as conf/ of this checkout composes and checks them, each choice once a process: that takes time."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from pipelines.params import Params, write

CONF = Path(__file__).parents[2] / "conf"


@cache
def composed(*overrides: str) -> Params:
    """What `make params` writes with these overrides; frozen, so that tests can share it."""
    with TemporaryDirectory() as folder:
        return write(overrides, CONF, Path(folder) / "params.yaml")
