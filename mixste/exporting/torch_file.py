"""The `.pt2` file of torch.export."""

from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixste.exporting.facts import KEY, as_json
from mixste.exporting.program import in_bf16, trace
from mixste.models import PoseModel

NAME = f"{KEY}.json"  # of the extra file
PRECISIONS = ("fp32", "bf16")


class Writer:
    """A model's files, of any precision."""

    def __init__(self, model: PoseModel) -> None:
        self._model = model

    def write(self, path: Path, facts: dict[str, Any]) -> None:
        """Write the file of the precision that its facts say."""
        program = trace(in_bf16(self._model) if facts["precision"] == "bf16" else self._model)
        held = BytesIO()  # given a path, torch would write the path's name into the file
        torch.export.save(program, held, extra_files={NAME: as_json(facts)})
        path.write_bytes(held.getvalue())


class Runner:
    """The file's program: windows `b t j c` to joints."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._program = torch.export.load(file).module()

    def __call__(self, keypoints: Tensor) -> Tensor:
        """`b t j c -> b t j 3`, or `b 1 j 3`."""
        with torch.inference_mode():
            return self._program(keypoints)
