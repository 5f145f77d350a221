"""What the log says of a cluster whose machines come and go, look by look."""

import logging

import pytest

from pipelines.distributed import lookout
from tests.unit.factories import cluster_settings


@pytest.fixture
def told(monkeypatch, caplog):
    """Look at a cluster with room for so many workers; what is said then."""
    import ray

    monkeypatch.setattr(lookout, "machines_alive", lambda: "some machines")
    monkeypatch.setattr(ray, "available_resources", lambda: {"CPU": 2.0})
    caplog.set_level(logging.INFO)

    def tell(watch, room, *, begun=True, resumes=False):
        caplog.clear()
        monkeypatch.setattr(lookout, "room", lambda resources: room)
        watch.look(begun=begun, resumes=resumes)
        return caplog.messages

    return tell


def test_machines_that_are_lost_and_those_that_are_back_are_said_once(told):
    watch = lookout._Lookout(cluster_settings(workers=3, min_workers=2), {"CPU": 1})
    assert told(watch, 3) == []
    assert told(watch, 2) == ["some machines: room for 2 of 3 workers; training goes on from its last epoch"]
    assert told(watch, 2) == []
    assert told(watch, 1) == ["some machines: room for 1 of 3 workers; training waits for machines"]
    assert told(watch, 9) == ["some machines: room for 3 of 3 workers; training goes on from its last epoch"]


@pytest.mark.parametrize(("resumes", "said"), [(False, "begins"), (True, "goes on from its last epoch")])
def test_a_training_begins_or_goes_on_when_there_is_room(told, resumes, said):
    watch = lookout._Lookout(cluster_settings(workers=2), {"CPU": 1})
    assert told(watch, 0, begun=False) == ["some machines: room for 0 of 2 workers; training waits for machines"]
    assert told(watch, 2, begun=False, resumes=resumes) == [f"some machines: room for 2 of 2 workers; training {said}"]


@pytest.mark.parametrize(("autoscaling", "what"), [(False, "others to end"), (True, "machines")])
def test_what_a_training_waits_for_is_said_ever_more_rarely(told, monkeypatch, autoscaling, what):
    clock = [0.0]
    monkeypatch.setattr(lookout.time, "monotonic", lambda: clock[0])
    watch, said = lookout._Lookout(cluster_settings(autoscaling=autoscaling), {"CPU": 4, "GPU": 1}), []
    for seconds in range(0, 400, 10):
        clock[0] = float(seconds)
        if messages := told(watch, 1, begun=False):
            said.append(seconds)
            expected = f"no worker has begun: each takes 4 CPUs (2 free), 1 GPU (0 free); waiting for {what}"
            assert messages == [expected]
    assert said == [70, 200]
