"""What a reader returns and what is kept of it."""

from dataclasses import dataclass

import numpy as np

from mixste.errors import MixsteError


class SourceError(MixsteError):
    """What is wrong is not one file but what the settings say of all files of its source."""


@dataclass(frozen=True)
class Capture:
    """One capture file: named joints and their positions (t k 3) in the file's unit and axes.

    `fps` is None where the format holds none; `numbers` (t) are the file's own frame numbers, None if it has none.
    `notes` say what a reader had to choose or leave out.
    """

    joints: tuple[str, ...]
    positions: np.ndarray
    fps: float | None
    numbers: np.ndarray | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Recording:
    """One unbroken piece of a trial: joints (t j 3) float32 metres, world, Z up, at `fps`."""

    source: str
    trial: str
    subject: str
    action: str
    fps: float
    joints: np.ndarray

    @property
    def columns(self) -> dict[str, np.ndarray | str]:
        """Its rows in a table of recordings; a text stands for all of them."""
        names = {"trial": self.trial, "subject": self.subject, "action": self.action}
        return {**names, "frame": np.arange(len(self.joints), dtype=np.int32), "joints": self.joints}
