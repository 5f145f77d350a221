"""How far a program's joints are from the model's."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mixste.errors import MixsteError
from mixste.exporting.facts import lengths
from mixste.inference import cut_for, lift
from mixste.models import PoseModel
from mixste.models.checkpoint import ModelConfig
from mixste.sequences import open_sequences
from mixste.windows import gather

BATCHES = (1, 3)
WINDOWS = 64  # of keypoints that a variant is compared on
MILLI = 1000.0

Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Distance:
    """Of joints from where they should be: the mean and the most, mm, or thousandths of a unit that is not metres."""

    mean: float
    most: float


def random_windows(model: PoseModel, windows: int, frames: int) -> Tensor:
    """Return the same smooth random keypoints `b t j c` every time; in each window a joint is hidden, as 0, 0, 0."""
    joints, channels = model.joints, model.settings.channels
    random = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    place, pose = 0.2 * draw(windows, 1, 1, 2), 0.15 * draw(windows, 1, joints, 2)
    way = 0.01 * draw(windows, frames, joints, 2).cumsum(dim=1)
    confidence = 0.5 + 0.5 * torch.rand((windows, frames, joints, 1), generator=random)
    keypoints = torch.cat([place + pose + way, confidence], dim=-1)[..., :channels]
    keypoints[torch.arange(windows), :, torch.arange(windows) % joints] = 0
    return keypoints


def every_size(model: PoseModel) -> Iterator[Tensor]:
    """Yield random windows in batches of several sizes and of several lengths, from the fewest frames to the most."""
    fewest, most = lengths(model.settings)
    for batch in BATCHES:
        for frames in sorted({fewest, min(fewest + 1, most), (fewest + most) // 2, most}):
            yield random_windows(model, batch, frames)


def read_windows(config: ModelConfig, data: Path) -> Tensor:
    """Return windows `b t j c` from all over a projections table, or all tables of a folder.

    MixsteError if there is none, or one of another skeleton or fps than the model's.
    """
    paths = sorted(data.glob("*.parquet")) if data.is_dir() else [data]
    if not paths:
        raise MixsteError(
            f"no projections in {data}", found="no .parquet there", expected="a folder as datasets/projections/rig"
        )
    tables = open_sequences(paths, skeleton=config.skeleton, fps=config.fps)
    some = torch.linspace(0, len(tables) - 1, min(len(tables), WINDOWS), dtype=torch.float64).long().tolist()
    sequences = tables.select(some)
    cut = cut_for(config.model, sequences.offsets, stride=config.model.span)
    which = torch.linspace(0, len(cut) - 1, min(len(cut), WINDOWS), dtype=torch.float64).long()
    return gather(sequences.keypoints, cut.index(which))[..., : config.model.channels]


def distance(run: Run, model: PoseModel, batches: Iterable[Tensor]) -> Distance:
    """Compare a program with the model on batches of windows `b t j c`; MixsteError if it gives another shape."""
    apart = []
    for keypoints in batches:
        found, expected = run(keypoints), lift(model, keypoints)
        if found.shape != expected.shape:
            raise MixsteError(
                f"the exported model gives another shape for keypoints {tuple(keypoints.shape)}",
                found=tuple(found.shape),
                expected=tuple(expected.shape),
            )
        apart.append((found - expected).norm(dim=-1).flatten())
    every = torch.cat(apart) * MILLI
    return Distance(float(every.mean()), float(every.max()))
