"""One process of the application: a model, the threads that lift for requests, and its door."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

from mixste.inference import fitting_batch
from mixste.lifting.source import model_folder
from mixste.models.checkpoint import load_model
from mixste.payload import Answering, Deadline, read_request
from pipelines.serving.batching import Together
from pipelines.serving.http import Door
from pipelines.settings import ServeSettings


class Replica:
    """Answers requests with a model that every replica knows by the same name."""

    def __init__(self, model: str, tracking_uri: str | None, settings: ServeSettings) -> None:
        with model_folder(model, tracking_uri) as folder:
            network, config = load_model(folder)
        device = torch.device("cuda" if settings.gpus_per_replica else "cpu")
        network = network.to(device).eval()
        most, precision = settings.batch or fitting_batch(network, device), settings.precision
        self._network = Together(network, most=most, precision=precision)
        self._answering = Answering(self._network, config, device=device.type, precision=precision, batch_size=most)
        self._threads = ThreadPoolExecutor(settings.at_once, thread_name_prefix="lift")
        about = {"model": model, "skeleton": config.skeleton, "fps": config.fps, "unit": config.unit}
        self._door = Door(self._lift, about, settings)

    async def __call__(self, request: Any) -> Any:
        """Answer a Starlette request."""
        return await self._door(request)

    def check_health(self) -> None:
        """Raise what the network failed with last, so that Ray puts a new replica in this one's place."""
        if self._network.batcher.error is not None:
            raise self._network.batcher.error

    async def _lift(self, body: bytes, deadline: Deadline) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._lifted, body, deadline)

    def _lifted(self, body: bytes, deadline: Deadline) -> bytes:
        deadline()
        inputs, params = read_request(body)
        return json.dumps({"predictions": self._answering(inputs, params, deadline)}).encode()
