"""What a model is made of: the settings that its weights only fit together with."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from mixste.settings import ABOVE_ZERO, ODD, Problem, Rule, Settings, at_least, one_of

ARCHITECTURES = ("mixste",)


@dataclass(frozen=True, kw_only=True)
class ModelSettings(Settings):
    """Architecture and size; depth, width and heads are the papers' L, C and H."""

    architecture: Annotated[str, one_of(*ARCHITECTURES)]
    frames: Annotated[int, ODD]
    width: Annotated[int, at_least(1)]
    depth: Annotated[int, at_least(1)]
    heads: Annotated[int, at_least(1)]
    mlp_ratio: Annotated[float, ABOVE_ZERO]
    drop_path: Annotated[float, Rule("at least 0 and below 1", lambda rate: 0 <= rate < 1)]
    channels: Annotated[int, Rule("2 (x, y) or 3 (x, y, confidence)", lambda channels: channels in (2, 3))]

    def problems(self) -> Iterator[Problem]:
        """Yield the sizes that do not fit together."""
        if self.width % self.heads:
            yield Problem("width", self.width, f"a multiple of heads ({self.heads})")
