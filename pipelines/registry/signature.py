"""What MLflow knows of a registered model's input, parameters and output (`mixste.payload`)."""

import numpy as np
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import Array

from mixste.lifter import THRESHOLD

_WORDS = Array("string")
_PARAMS = (
    ParamSpec("skeleton", "string", None),
    ParamSpec("fps", "double", None),
    ParamSpec("image_size", "double", [], (-1,)),
    ParamSpec("threshold", "double", THRESHOLD),
    ParamSpec("flip", "boolean", True),
)
_MOTION = {
    "joints": Array(Array(Array("double"))),
    "joint_names": _WORDS,
    "skeleton": "string",
    "fps": "double",
    "unit": "string",
    "frame": "string",
    "rooted": "boolean",
    "report": _WORDS,
}


def signature() -> ModelSignature:
    """Return the signature: pixels of any layout, and what they are, to a motion.

    The input is declared as objects: MLflow lets those through to checks of our own, which say what is wrong.
    """
    outputs = Schema([ColSpec(kind, name) for name, kind in _MOTION.items()])
    return ModelSignature(Schema([TensorSpec(np.dtype("O"), (-1,))]), outputs, ParamSchema(list(_PARAMS)))
