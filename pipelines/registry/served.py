"""The registered model as MLflow runs it (models-from-code: this file lies beside the weights, nothing is pickled).

Keypoints in pixels and params in, a motion out, as `mixste.payload` describes them; docs/deploy.md is for users.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import BAD_REQUEST
from mlflow.pyfunc import PythonModel, PythonModelContext

from mixste.errors import MixsteError
from mixste.models.checkpoint import load_model
from mixste.payload import Answering, Deadline, refusal

_SECONDS = "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT"  # after which the server has answered without us


class RefusedError(MlflowException):
    """A request that cannot be answered, as HTTP status 400 with JSON that says why."""

    def __init__(self, error: MixsteError) -> None:
        super().__init__(str(error), error_code=BAD_REQUEST)
        self._refusal = refusal(self.error_code, error)

    def serialize_as_json(self) -> str:
        """Return the answer's body; the server would quote all of the input before the message."""
        return json.dumps(self._refusal)


class ServedLifter(PythonModel):
    """Answers requests; see `mixste.payload`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model folder."""
        model, config = load_model(Path(context.artifacts["model"]))
        self._answering = Answering(model, config, device="auto")

    def predict(
        self, context: PythonModelContext, model_input: np.ndarray, params: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Lift keypoints `t j 2|3`, an array or nested lists; RefusedError if they or the params are wrong."""
        tell = Deadline(float(os.environ[_SECONDS])) if _SECONDS in os.environ else None
        try:
            return self._answering(model_input, params, tell)
        except MixsteError as error:
            raise RefusedError(error) from error


set_model(ServedLifter())
