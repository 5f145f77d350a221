"""The registered model as MLflow runs it (models-from-code: this file lies beside the weights, nothing is pickled).

Input: keypoints `b t j c`, screen units. Output: joints `b t j 3` in the unit that the version's tag
`unit` names, camera axes, root-relative. All float32.
"""

from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel, PythonModelContext

from mixste.lifter import Lifter


class ServedLifter(PythonModel):
    """Lifts batches of sequences of any length; the parameter `flip` averages with the mirrored input's prediction."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model folder once with and once without flip."""
        folder = context.artifacts["model"]
        self._lifters = {flip: Lifter.load(folder, flip=flip) for flip in (True, False)}

    def predict(
        self, context: PythonModelContext, model_input: np.ndarray, params: dict[str, Any] | None = None
    ) -> np.ndarray:
        """Lift keypoints `b t j c`, an array or nested lists; MixsteError if their shape is another."""
        keypoints = np.asarray(model_input, dtype=np.float32)
        return self._lifters[bool((params or {}).get("flip", True))].predict(keypoints)


set_model(ServedLifter())
