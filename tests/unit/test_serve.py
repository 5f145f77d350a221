"""The command that serves: choices are checked, and what cannot be served is said before anything starts."""

import socket
import sys
from types import SimpleNamespace

import pytest

from mixste.errors import MixsteError
from mixste.models.checkpoint import save_model
from pipelines import serve
from pipelines.params import load, write
from pipelines.serve import chosen, resolved
from tests.unit.lifters import lifter


def test_choices_on_the_command_line_are_checked_as_those_of_the_file(workplace):
    assert chosen(["port=8001", "model=models/x", "batch=8"]).serve.port == 8001
    assert chosen([]) == load()
    with pytest.raises(
        MixsteError, match=r"params.yaml with serve.prt=1 cannot be used:\n  serve.prt: .*did you mean port"
    ):
        chosen(["prt=1"])
    with pytest.raises(MixsteError, match=r"serve.port: found 99999, expected between 1 and 65535"):
        chosen(["port=99999"])
    with pytest.raises(MixsteError, match="found: 8001; expected: KEY=VALUE"):
        chosen(["8001"])


def test_what_is_served_is_the_champion_of_what_is_registered(workplace):
    assert load().serve.model == "models:/mixste@champion"
    write(["register.name=mine", "register.alias=best"])
    assert chosen([]).serve.model == "models:/mine@best"
    write(["register.name=mine", "serve.model=models/finetuned"])
    assert chosen([]).serve.model == "models/finetuned"


def test_a_folder_is_served_by_the_name_that_every_process_knows(tmp_path, monkeypatch):
    own = lifter()
    save_model(tmp_path / "tiny", own.model.state_dict(), own.config)
    monkeypatch.chdir(tmp_path)
    assert resolved("tiny") == (str(tmp_path / "tiny"), None)
    assert resolved("cmu-small") == ("cmu-small", None), "which comes with the package on every machine"


@pytest.mark.parametrize("model", ["models/nothing", "models:/mixste@champion"])
def test_a_model_that_is_not_there_is_said_before_ray_starts(workplace, monkeypatch, model):
    monkeypatch.setattr("sys.argv", ["serve", f"model={model}"])
    monkeypatch.setattr(serve.cluster, "connect", lambda address: pytest.fail("Ray was started"))
    with pytest.raises(MixsteError, match=r"no model registry|models/nothing"):
        serve.main()


def test_a_port_that_is_taken_is_said_with_another(workplace):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        settings = chosen([f"port={port}"]).serve
        refused = pytest.raises(
            MixsteError, match=f"cannot serve at 127.0.0.1:{port}; found: Address.*make serve port={port + 1}"
        )
        with refused, serve.serving(settings, "model", None):
            pytest.fail("it was served")


def test_without_ray_serve_it_is_said_how_to_install_it(workplace, monkeypatch):
    import ray

    monkeypatch.delattr(ray, "serve", raising=False)
    monkeypatch.setitem(sys.modules, "ray.serve", None)
    with (
        pytest.raises(MixsteError, match=r"mixste\[serve\]"),
        serve.serving(chosen([f"port={free_port()}"]).serve, "model", None),
    ):
        pytest.fail("it was served")


def test_a_cluster_without_room_for_all_replicas_is_said_and_not_waited_for(workplace, monkeypatch):
    import ray

    monkeypatch.setattr(ray, "nodes", lambda: [{"Resources": {"CPU": 2.0}, "Alive": True}])
    settings = chosen([f"port={free_port()}", "gpus_per_replica=1", "replicas=2"]).serve
    refused = pytest.raises(
        MixsteError, match="too small; found: 2 CPUs, 0 GPUs on 1 machine; expected: 2 replicas x 1 CPU, 1 GPU"
    )
    with refused, serve.serving(settings, "model", None):
        pytest.fail("it was served")
    assert serve._resources(chosen(["replicas=2"]).serve, grows=False) == {"num_cpus": 1.0, "num_gpus": 0.0}


@pytest.mark.parametrize(("asked", "cpus"), [("replicas=3", 1), ("cpus_per_replica=8", 8)])
def test_a_cluster_that_starts_machines_is_asked_for_replicas_that_it_has_no_room_for(
    workplace, monkeypatch, asked, cpus
):
    import ray

    monkeypatch.setattr(ray, "nodes", lambda: [{"Resources": {"CPU": 2.0}, "Alive": True}])
    settings = chosen(["gpus_per_replica=1", asked]).serve
    assert serve._resources(settings, grows=True) == {"num_cpus": cpus, "num_gpus": 1}


@pytest.fixture
def ray_serve(monkeypatch):
    """Ray Serve with what was done to it; `applications` are those of others."""
    from ray import serve as ray_serve

    fake = SimpleNamespace(done=[], proxies={}, applications={})
    for name in ("start", "run", "delete", "shutdown"):
        monkeypatch.setattr(ray_serve, name, lambda *_, did=name, **__: fake.done.append(did))
    monkeypatch.setattr(ray_serve, "status", lambda: fake)
    monkeypatch.setattr(serve, "_resources", lambda *_: {})
    monkeypatch.setattr(serve.cluster, "answers", lambda: True)
    return fake


@pytest.mark.parametrize(
    ("applications", "message"),
    [
        ({serve.NAME: None}, "mixste is served on this cluster already; found: its applications: mixste;"),
        ({"other": None}, "Ray Serve runs already; found: its applications: other;"),
        ({}, "Ray Serve runs already; found: its applications: none;.*serve shutdown"),
    ],
)
def test_where_ray_serve_runs_already_nothing_is_replaced(workplace, ray_serve, applications, message):
    ray_serve.applications, ray_serve.proxies = applications, {"node": "HEALTHY"}
    settings = chosen([f"port={free_port()}"]).serve
    with pytest.raises(MixsteError, match=message), serve.serving(settings, "model", None):
        pytest.fail("it was served")
    assert ray_serve.done == []


@pytest.mark.parametrize(
    ("shared", "others", "ended"),
    [(True, {}, ["shutdown"]), (True, {"other": None}, []), (False, {}, [])],
)
def test_on_a_cluster_that_goes_on_ray_serve_is_ended_unless_others_use_it_by_then(
    workplace, ray_serve, shared, others, ended
):
    with serve.serving(chosen([f"port={free_port()}"]).serve, "model", None, shared=shared):
        ray_serve.applications = others
    assert ray_serve.done == ["start", "run", "delete", *ended]


def test_a_ray_that_was_ended_by_the_same_signal_is_asked_nothing_more(workplace, ray_serve, monkeypatch):
    monkeypatch.setattr(serve.cluster, "answers", lambda: False)
    with serve.serving(chosen([f"port={free_port()}"]).serve, "model", None):
        pass
    assert ray_serve.done == ["start", "run"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
