"""Data sets that bring their own 2D: `read_clips(files, ...)`; a format is one module here and its row in FORMATS."""

from dataclasses import dataclass

__all__ = ["FORMATS", "Format"]


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
    "mpi_inf_3dhp": Format(("data_train_3dhp.npz", "data_test_3dhp.npz or TS*/annot_data.mat"), 25, ("mpi17",)),
    "humaneva": Format(
        ("data_3d_humaneva15.npz", "data_2d_humaneva15_gt.npz", "data_2d_humaneva15_*.npz"),
        60,
        ("humaneva15",),
        world=True,
    ),
}
