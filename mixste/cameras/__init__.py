"""Calibrated cameras and rigs of them, read from `mixste/cameras/NAME.yaml` or a user's own file of the same keys."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mixste.errors import MixsteError
from mixste.geometry import normalise_screen, project, rotation_matrix, world_to_camera

FOLDER = Path(__file__).parent
LENGTHS = {"size": 2, "focal": 2, "centre": 2, "radial": 3, "tangential": 2, "orientation": 4, "translation": 3}
UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Camera:
    """One calibrated camera: size, focal length and centre in pixels, pose in metres and (w, x, y, z), world Z up."""

    name: str
    size: tuple[float, ...]
    focal: tuple[float, ...]
    centre: tuple[float, ...]
    radial: tuple[float, ...]
    tangential: tuple[float, ...]
    orientation: tuple[float, ...]
    translation: tuple[float, ...]

    @property
    def intrinsics(self) -> np.ndarray:
        """The nine intrinsics in screen units: fx, fy, cx, cy, k1, k2, k3, p1, p2."""
        centre = normalise_screen(np.array(self.centre), *self.size)
        return np.concatenate([np.array(self.focal) / self.size[0] * 2, centre, self.radial, self.tangential])

    @property
    def ratio(self) -> float:
        """The image's height over its width; screen y lies in -ratio..ratio, screen x in -1..1."""
        return self.size[1] / self.size[0]

    def see(self, world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World points (... 3), metres, as distorted screen coordinates (... 2) and camera points (... 3), metres."""
        points = world_to_camera(world, np.array(self.orientation), np.array(self.translation))
        return project(points, self.intrinsics), points


@dataclass(frozen=True)
class Rig:
    """Cameras that look at one place."""

    name: str
    cameras: tuple[Camera, ...]

    @property
    def centre(self) -> np.ndarray:
        """The ground position (2,), metres, that is nearest to all optical axes."""
        axes = np.array([rotation_matrix(np.array(camera.orientation))[:, 2] for camera in self.cameras])
        across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
        places = np.array([camera.translation for camera in self.cameras])
        return np.linalg.lstsq(across.sum(axis=0), np.einsum("nij,nj->i", across, places), rcond=None)[0][:2]


def load_rig(name: str | Path) -> Rig:
    """Return the rig `mixste/cameras/NAME.yaml`, or the one in a YAML file; MixsteError if it is missing or wrong."""
    own = str(name).endswith((".yaml", ".yml"))
    path = Path(name) if own else FOLDER / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.yaml")))
        raise MixsteError(
            f"there is no rig {name}", found=f"no file {path}", expected=f"{known}, or a path to a .yaml file"
        )
    tree = _read(path)
    cameras = tuple(_camera(path, camera) for camera in tree["cameras"])
    names = [camera.name for camera in cameras]
    if len(set(names)) < len(names) or not names:
        raise MixsteError(
            f"cannot use {path}", found=f"cameras {names}", expected="one camera or more, every name once"
        )
    return Rig(str(tree["name"]), cameras)


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise MixsteError(f"cannot read {path}", found=str(error), expected="a YAML file") from error
    if not isinstance(tree, dict) or set(tree) != {"name", "cameras"} or not isinstance(tree["cameras"], list):
        raise MixsteError(f"cannot read {path}", found=tree, expected="the keys name and cameras, a list")
    return tree


def _camera(path: Path, tree: Any) -> Camera:
    keys = {"name", *LENGTHS}
    if not isinstance(tree, dict) or set(tree) != keys:
        raise MixsteError(f"a camera of {path} is wrong", found=tree, expected=f"the keys {', '.join(sorted(keys))}")
    values = {key: _numbers(f"{tree['name']}.{key} of {path}", tree[key], length) for key, length in LENGTHS.items()}
    norm = float(np.linalg.norm(values["orientation"]))
    if abs(norm - 1) > UNIT_TOLERANCE:
        raise MixsteError(
            f"{tree['name']}.orientation of {path} is wrong", found=f"length {norm:g}", expected="length 1"
        )
    values["orientation"] = tuple(value / norm for value in values["orientation"])
    return Camera(str(tree["name"]), **values)


def _numbers(key: str, values: Any, length: int) -> tuple[float, ...]:
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != length or not np.isfinite(numbers).all():
        raise MixsteError(f"{key} is wrong", found=values, expected=f"{length} numbers")
    return numbers
