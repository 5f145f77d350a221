"""Prepare and project on Ray: the same bytes whether one task runs at a time or as many as there are CPUs."""

from functools import partial
from pathlib import Path

import pytest
import yaml

from pipelines import prepare, project
from pipelines.cluster import fan_out
from pipelines.places import PROJECTIONS, RECORDINGS
from tests.unit.test_prepare import write_trial

pytestmark = pytest.mark.usefixtures("local_ray")
SUBJECTS = {"S1": 260, "S6": 90, "S7": 120, "S8": 60}  # frames a trial: who has most to do comes first


@pytest.fixture
def captures(tracked_workplace):
    """Two trials of each subject that the split of the sample names."""
    for number, (subject, frames) in enumerate(SUBJECTS.items()):
        for trial in range(2):
            write_trial(Path(f"data/sample/{subject}/walk_{trial}.bvh"), frames, seed=10 * number + trial)
    params = yaml.safe_load(Path("params.yaml").read_text())
    assert {*params["data"]["split"]["test"]["subjects"]} <= {*SUBJECTS}
    return tracked_workplace


def test_the_same_bytes_whatever_the_parallelism(captures, monkeypatch):
    def outputs(at_once):
        for stage in (prepare, project):
            monkeypatch.setattr(stage, "fan_out", partial(fan_out, at_once=at_once))
            stage.main()
        files = [*RECORDINGS.rglob("*"), *PROJECTIONS.rglob("*"), *Path("reports").glob("*.json")]
        return {str(path): path.read_bytes() for path in files if path.is_file()}

    first = outputs(at_once=1)
    assert {Path(name).name for name in first} >= {f"sample-{subject}.parquet" for subject in SUBJECTS}
    assert outputs(at_once=4) == first
