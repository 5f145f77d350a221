"""Serve a model with Ray Serve until Ctrl-C: `python -m pipelines.serve [KEY=VALUE ...]`, keys of conf/serve.

The model is read once here, so that what is wrong with it is said before anything starts, and an alias is resolved: all
replicas serve one version, those that Ray starts later, too.
"""

import logging
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mixste import registry
from mixste.errors import MixsteError
from mixste.lifting.source import model_folder
from mixste.models.checkpoint import load_model
from mixste.settings.typed import build
from pipelines import cluster
from pipelines.params import PARAMS, Params, read
from pipelines.process.ports import refuse_taken
from pipelines.process.stage import run
from pipelines.serving.http import INVOCATIONS
from pipelines.serving.replica import Replica
from pipelines.settings import ServeSettings
from pipelines.settings.composing import check_choices

NAME = "mixste"
log = logging.getLogger(__name__)


def chosen(overrides: Sequence[str], path: Path = PARAMS) -> Params:
    """Return params.yaml with some keys of its section `serve` set; MixsteError names what is wrong."""
    from omegaconf import OmegaConf

    tree: Any = read(path)
    check_choices(overrides, "port=8001")
    if isinstance(tree, dict) and isinstance(tree.get("serve"), dict):
        tree["serve"] |= OmegaConf.to_container(OmegaConf.from_dotlist(list(overrides)), resolve=True)
    return build(Params, tree, " with serve.".join([str(path), *overrides]))


def resolved(model: str) -> tuple[str, str | None]:
    """Return a model's name that any process on this cluster can use, and its store; MixsteError if it cannot serve."""
    name, store = str(Path(model).absolute()) if Path(model).exists() else model, None
    if registry.is_registered(model):
        found = registry.find(model)
        name, store = f"models:/{found.name}/{found.version}", found.store
    with model_folder(name, store) as folder:
        load_model(folder)
    return name, store


@contextmanager
def serving(
    settings: ServeSettings, model: str, store: str | None, *, shared: bool = False, grows: bool = False
) -> Iterator[str]:
    """Run the application on the cluster that this process is connected to and yield its address.

    On a cluster that is `shared`, which goes on afterwards, Ray Serve is ended, too, unless others use it by then. One
    that `grows` starts machines for replicas that it has no room for.
    """
    refuse_taken(settings.host, settings.port, "make serve port=")
    try:
        from ray import serve
    except ImportError as error:
        raise MixsteError("Ray Serve is not installed", found=error, mend="pip install 'mixste[serve]'") from error
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    options = {"host": settings.host, "port": settings.port}
    deployment = serve.deployment(Replica).options(
        name="lifter",
        num_replicas=settings.replicas,
        ray_actor_options=_resources(settings, grows),
        max_ongoing_requests=10 * (settings.at_once + settings.waiting),  # it is the replica that refuses, as JSON
        graceful_shutdown_timeout_s=settings.seconds,
        graceful_shutdown_wait_loop_s=0.2,
    )
    _refuse_running(serve.status())
    serve.start(http_options=options, proxy_location="HeadOnly")
    try:
        serve.run(deployment.bind(model, store, settings), name=NAME, route_prefix="/")
        yield f"http://{settings.host}:{settings.port}"
    finally:
        if cluster.answers():
            serve.delete(NAME)
            if shared and not serve.status().applications:
                serve.shutdown()


def _resources(settings: ServeSettings, grows: bool) -> dict[str, float]:
    """What a replica takes of the cluster, as Ray's actors ask for it; machines to come cannot be shared out."""
    cpus = settings.cpus_per_replica or (1 if grows else None)
    wanted = cluster.shared_out(
        settings.replicas, cpus, settings.gpus_per_replica,
        least=settings.replicas, grows=grows, what="replica",
        mend="lower serve.replicas, serve.cpus_per_replica or serve.gpus_per_replica",
    )  # fmt: skip
    return {"num_cpus": wanted["CPU"], "num_gpus": settings.gpus_per_replica}


def _refuse_running(status: Any) -> None:
    """Raise MixsteError where Ray Serve runs already: it keeps its address, and an application of our name ends."""
    if status.proxies or status.applications:
        raise MixsteError(
            f"{NAME} is served on this cluster already" if NAME in status.applications else "Ray Serve runs already",
            found=f"its applications: {', '.join(status.applications) or 'none'}",
            expected="a cluster on which nothing serves, of which the address can be chosen",
            mend="stop it there, by Ctrl-C or `serve shutdown -y`, or serve from a Ray of this machine's own: "
            "without RAY_ADDRESS, and with `make params cluster=local`",
        )


def main() -> None:
    """Serve until Ctrl-C or SIGTERM."""
    params = chosen(sys.argv[1:])
    model, store = resolved(params.serve.model)
    shared = not cluster.connect(params.cluster.address)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    serve = serving(params.serve, model, store, shared=shared, grows=params.cluster.autoscaling)
    with suppress(KeyboardInterrupt), serve as address:
        log.info("serving %s at %s%s (stop with Ctrl-C)", model, address, INVOCATIONS)
        threading.Event().wait()


if __name__ == "__main__":
    run(main)
