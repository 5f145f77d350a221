"""What is known of a model once it is scored."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from mixste.models.checkpoint import ModelConfig
from pipelines.watching import Watch


@dataclass(frozen=True)
class Evaluated:
    """A model folder with its predictions `n j 3`, its means by both scorings, mm, and what a window costs it.

    `as_published` is None where the code of its paper scores no such model. `watch` is what lifting took.
    """

    folder: Path
    config: ModelConfig
    predicted: Tensor
    summary: dict[str, Any]
    as_published: dict[str, Any] | None
    parameters: int
    linear_macs: int
    all_macs: int
    watch: Watch
