"""What of a cluster does not need one: how it is joined, and how its machines are shared out."""

import os
import socket
from dataclasses import replace
from types import SimpleNamespace

import pytest

from mixste.errors import MixsteError
from pipelines import cluster
from tests.unit.factories import cluster_settings


@pytest.fixture
def machines(monkeypatch):
    """A cluster of machines with so many CPUs and GPUs, and one that is lost."""
    import ray

    def are(*each):
        lost = {"Resources": {"CPU": 64.0, "GPU": 8.0}, "Alive": False}
        alive = [{"Resources": {"CPU": float(cpus), "GPU": float(gpus)}, "Alive": True} for cpus, gpus in each]
        monkeypatch.setattr(ray, "nodes", lambda: [lost, *alive])

    return are


def share(count, cpus=None, gpus=0, least=None, most=None):
    return cluster.shared_out(count, cpus, gpus, least=least or count, most=most, what="worker", mend="")


@pytest.mark.parametrize(
    ("each", "asked", "expected"),
    [
        ([(8, 0), (8, 0)], {"count": 1}, {"CPU": 8}),
        ([(8, 0), (8, 0)], {"count": 3}, {"CPU": 4}),
        ([(16, 0), (4, 0)], {"count": 2}, {"CPU": 8}),
        ([(8, 4), (8, 4)], {"count": 3, "gpus": 1}, {"CPU": 4, "GPU": 1}),
        ([(8, 0), (8, 0)], {"count": 1, "most": 3}, {"CPU": 3}),
        ([(8, 2), (8, 2)], {"count": 8, "least": 1, "gpus": 1}, {"CPU": 2, "GPU": 1}),  # as many as there are GPUs for
        ([(8, 8), (120, 1)], {"count": 16, "least": 1, "gpus": 1}, {"CPU": 1, "GPU": 1}),
        ([(2, 0)], {"count": 8, "least": 2}, {"CPU": 1}),
    ],
)
def test_without_a_number_of_cpus_a_process_takes_as_many_as_leave_room_for_all(machines, each, asked, expected):
    machines(*each)
    assert share(**asked) == expected


@pytest.mark.parametrize("asked", [{"count": 5}, {"count": 2, "cpus": 3}, {"count": 1, "gpus": 1}])
def test_what_the_machines_cannot_hold_however_little_it_takes_is_refused(machines, asked):
    machines((2, 0), (2, 0))
    with pytest.raises(MixsteError, match=r"too small; found: 4 CPUs.* on 2 machines; expected: . workers? x . CPUs?"):
        share(**asked)


def test_a_cluster_that_starts_machines_is_asked_for_what_it_has_not(machines):
    machines((0, 0))
    settings = cluster_settings(autoscaling=True, workers=4, cpus_per_worker=8, gpus_per_worker=1)
    assert cluster.resources_per_worker(settings) == {"CPU": 8, "GPU": 1}
    with pytest.raises(MixsteError, match="too small"):
        cluster.resources_per_worker(replace(settings, autoscaling=False))


def test_a_ray_that_is_gone_does_not_answer(monkeypatch):
    import ray

    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(gcs_address=address))
        assert cluster.answers()
    assert not cluster.answers()


@pytest.fixture
def joined(monkeypatch):
    """What `ray.init` is given."""
    import ray

    given = {"listens": "127.0.0.1"}

    def init(**options):
        given.update(options)
        return SimpleNamespace(dashboard_url=None, address_info={"node_ip_address": given["listens"]})

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    for name in ("RAY_ADDRESS", cluster.PREEMPTION):
        monkeypatch.setenv(name, "")  # so that what is set below is undone
        monkeypatch.delenv(name)
    return given


@pytest.mark.parametrize("address", ["ray://head:10001", "http://head:8265"])
def test_an_address_of_something_else_than_the_head_is_refused_by_what_it_should_be(joined, monkeypatch, address):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(MixsteError, match=f"cannot join.*{address}; expected: HOST:PORT.*6379.*`make job`"):
        cluster.connect()


@pytest.mark.parametrize(("named", "mend"), [(True, "unset RAY_ADDRESS;"), (False, "`make params ... cluster=local`;")])
def test_a_cluster_that_is_away_is_left_where_it_was_named(joined, monkeypatch, named, mend):
    if named:
        monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(MixsteError, match=f"cannot join the Ray cluster at 127.0.0.1:1; .*, or .*{mend}") as caught:
        cluster.connect("127.0.0.1:1")
    assert ("RAY_ADDRESS" in str(caught.value)) is named


def test_a_ray_of_our_own_has_the_cpus_that_this_process_may_use(joined, monkeypatch):
    monkeypatch.setattr(cluster, "usable_cpus", lambda: 3)
    cluster.connect()
    assert joined["num_cpus"] == 3


def test_a_ray_of_our_own_that_others_could_reach_is_named(joined, caplog):
    cluster.connect()
    assert not caplog.text
    joined["listens"] = "192.0.2.2"
    cluster.connect()
    assert "Ray listens at 192.0.2.2, not on 127.0.0.1 alone" in caplog.text


def test_it_is_watched_whether_machines_of_a_real_cluster_are_taken_away(joined):
    with socket.create_server(("127.0.0.1", 0)) as head:
        cluster.connect(f"127.0.0.1:{head.getsockname()[1]}")
        assert cluster.PREEMPTION not in os.environ
    cluster.connect()
    assert os.environ[cluster.PREEMPTION] == "0"
