import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

INTERPRETED = Path(__file__).parent / "interpreted.py"


def test_the_gpus_kernels_compute_what_the_plain_network_does_in_tritons_interpreter():
    if find_spec("triton") is None:
        pytest.skip("there is no Triton for this platform")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(INTERPRETED)]
    run = subprocess.run(command, env={**os.environ, "TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
