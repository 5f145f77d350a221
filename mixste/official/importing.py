"""An official checkpoint to a model folder of ours: every key and every shape must be there, and no other."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixste.errors import MixsteError
from mixste.files.whole import whole_folder
from mixste.models import build_masked, build_model
from mixste.models.checkpoint import ModelConfig, misfits, save_model
from mixste.official.formats import FORMATS, Format
from mixste.official.reading import read_weights, sha256
from mixste.official.sizes import Size, size_of
from mixste.skeleton import load_skeleton

SKELETONS = {15: "humaneva15", 16: "h36m16", 17: "h36m17"}  # by the joints of the published models
FPS = {"humaneva15": 60.0, "mpi17": 25.0}  # of MPI-INF-3DHP's training sequences 11 are of 25, 5 of 50
PUBLISHED_FPS = 50.0
OTHERS = {
    "post_refine.": "P-STMO's refine module, which moves another model's output and needs the true depth of the root; "
    "import the file whose name says no_refine",
    "temp_embed": "MotionBERT's DSTformer",
}


@dataclass(frozen=True)
class Imported:
    """What a file was found to be, and what it became."""

    network: str
    folder: Path
    config: ModelConfig


def import_checkpoint(
    path: Path,
    folder: Path,
    *,
    skeleton: str | None = None,
    frames: int | None = None,
    fps: float | None = None,
    trust: bool = False,
) -> Imported:
    """Write the model folder of an official checkpoint of MixSTE, P-STMO (either stage) or STCFormer.

    `frames` is needed where the file does not tell, and checked where it does; `skeleton` and `fps` are the published
    ones unless given. Networks that were trained in millimetres (on MPI-INF-3DHP) are made to give metres. Raises
    MixsteError for a file that is another model, not whole, or, unless `trust`, would run code on loading; and, by its
    name alone, for one of MPI-INF-3DHP, unless `skeleton` tells, and for P-STMO's of COCO's keypoints.
    """
    if folder.exists():
        raise MixsteError(f"cannot write {folder}", found="it exists", mend="remove it, or name another with --output")
    official = read_weights(path, trust=trust)
    form = recognise(path, official)
    _refuse_two_skeletons(path, form)
    size = size_of(path, form, {key: tuple(value.shape) for key, value in official.items()}, frames)
    skeleton = _skeleton(path, form, size, skeleton)
    weights = _converted(path, form, size, official)
    millimetres = load_skeleton(skeleton).name.startswith("mpi") and form.kind == "lifter"
    if millimetres:
        weights = {name: value / 1000 if _gives_output(name) else value for name, value in weights.items()}
    config = ModelConfig(
        model=size.settings,
        skeleton=skeleton,
        fps=fps or FPS.get(skeleton, PUBLISHED_FPS),
        kind=form.kind,
        provenance=_provenance(path, form, size, millimetres=millimetres),
    )
    with whole_folder(folder) as partial:
        save_model(partial, weights, config)
    return Imported(form.network, folder, config)


def recognise(path: Path, official: dict[str, Tensor]) -> Format:
    """Tell by its keys which network a checkpoint is of; MixsteError for one that is not ours to read."""
    for form in FORMATS:
        if any(key.startswith(form.sign) for key in official):
            return form
    found = [text for sign, text in OTHERS.items() if any(key.startswith(sign) for key in official)]
    raise MixsteError(
        f"{path} is not a model that can be imported",
        found=found[0] if found else f"{len(official)} tensors ({', '.join(list(official)[:4])}, ...)",
        expected="a checkpoint of " + ", ".join(form.network for form in FORMATS),
    )


def _refuse_two_skeletons(path: Path, form: Format) -> None:
    """Raise MixsteError for P-STMO's file for videos in the wild: its keys and shapes are those of the other files."""
    if form.architecture == "pstmo" and "in_the_wild" in path.name.lower():
        raise MixsteError(
            f"cannot import {path}",
            found="in_the_wild in its name: keypoints in COCO's order go in, joints in Human3.6M's come out",
            expected="one order for both, which is all that a model folder can name",
            mend="import PSTMOS_no_refine_28_4306_h36m_cpn.pth: for it, lifting maps keypoints in COCO's order; "
            "or rename this file, if it takes Human3.6M's order",
        )


def _skeleton(path: Path, form: Format, size: Size, asked: str | None) -> str:
    if asked is None and form.architecture != "stcformer_3dhp" and "3dhp" in path.name.lower():
        raise MixsteError(
            f"cannot tell the skeleton of {path}",
            found="3dhp in its name and nothing in its weights: one of Human3.6M is like it but for joints and unit",
            mend="add --skeleton mpi17; or --skeleton h36m17, if it is of Human3.6M and gives metres",
        )
    name = asked or ("mpi17" if form.architecture == "stcformer_3dhp" else SKELETONS.get(size.joints))
    if name is None:
        raise MixsteError(
            f"the {form.network} in {path} is of {size.joints} joints",
            found="no published skeleton of so many",
            mend="name it with --skeleton",
        )
    joints = len(load_skeleton(name).joints)
    if joints != size.joints:
        raise MixsteError(
            f"the {form.network} in {path} does not fit the skeleton {name}",
            found=f"a model of {size.joints} joints",
            expected=f"{joints} joints",
            mend="name its own with --skeleton",
        )
    return name


def _converted(path: Path, form: Format, size: Size, official: dict[str, Tensor]) -> dict[str, Tensor]:
    build = build_masked if form.kind == "masked" else build_model
    with torch.device("meta"):
        ours = build(size.settings, joints=size.joints).state_dict()
    given = {key: tuple(value.shape) for key, value in official.items()}
    if problems := misfits(form.shapes(ours), given):
        raise MixsteError(
            f"{path} is not a whole {form.network}",
            found=problems,
            expected=f"the {len(ours)} parameters of {form.network} with C {size.settings.width}, "
            f"L {size.settings.depth}, T {size.settings.frames} and {size.joints} joints, and no other",
        )
    if broken := [key for key, value in official.items() if not value.isfinite().all()]:
        raise MixsteError(f"{path} holds no usable {form.network}", found=f"NaN or infinity in {', '.join(broken[:6])}")
    return form.weights(ours, official)


def _gives_output(name: str) -> bool:
    """Whether a parameter is of a last layer."""
    return name.startswith(("head.linear.", "sequence_head.linear.")) or name in ("head.weight", "head.bias")


def _provenance(path: Path, form: Format, size: Size, *, millimetres: bool) -> dict[str, Any]:
    return {
        "stage": "import",
        "network": form.network,
        "file": path.name,
        "sha256": sha256(path),
        "licence": form.licence,
        "assumed": size.assumed,
        "unit_of_the_file": "mm" if millimetres else "m",
    }
