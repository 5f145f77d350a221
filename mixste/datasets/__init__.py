"""Data sets that bring their own 2D: `read_subject(data, subject)`; a format is a module here and a row in FORMATS."""

from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from mixste.captures.capture import Recording
from mixste.datasets.clip import Clip, DataSet, Reading, check_clip
from mixste.datasets.videopose import subject_names
from mixste.skeleton import load_skeleton

__all__ = ["FORMATS", "Clip", "DataSet", "Format", "Reading", "read_recordings", "read_subject", "recorded_subjects"]


@dataclass(frozen=True)
class Format:
    """What a data set is whatever is in its files: the files it takes, frames a second, the skeletons it can make.

    `unit` is that of its joints; `world`: it has world coordinates, too, of which random views can be made.
    """

    files: tuple[str, ...]
    fps: float
    skeletons: tuple[str, ...]
    unit: str = "m"
    world: bool = False


FORMATS = {
    "h36m": Format(("data_3d_h36m.npz", "data_2d_h36m_*.npz"), 50, ("h36m17", "h36m16"), world=True),
    "motionbert": Format(("h36m_sh_conf_cam_source_final.pkl",), 50, ("h36m17",), unit="screen"),
    "mpi_inf_3dhp": Format(("data_train_3dhp.npz", "data_test_3dhp.npz or */annot_data.mat"), 25, ("mpi17", "h36m17")),
    "humaneva": Format(
        ("data_3d_humaneva15.npz", "data_2d_humaneva15_gt.npz", "data_2d_humaneva15_*.npz"),
        60,
        ("humaneva15",),
        world=True,
    ),
}


def read_subject(data: DataSet, subject: str) -> Reading:
    """Return every video of a subject, checked; MixsteError names a file that is missing, damaged or does not fit."""
    reading: Reading = _module(data).read(data, subject)
    for clip in reading.clips:
        check_clip(clip, load_skeleton(data.skeleton))
    return reading


def recorded_subjects(data: DataSet) -> tuple[str, ...]:
    """Return everyone who has recordings in world coordinates; nobody in a data set without them."""
    return subject_names(data.files[0]) if FORMATS[data.format].world else ()


def read_recordings(data: DataSet, subject: str) -> tuple[Recording, ...]:
    """Return the recordings of one of `recorded_subjects`: world coordinates, metres, Z up."""
    recordings: tuple[Recording, ...] = _module(data).read_recordings(data, subject)
    return recordings


def _module(data: DataSet) -> ModuleType:
    return import_module(f"mixste.datasets.{data.format}")
