"""A network's settings from the shapes in its file; what shapes cannot tell is as published."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mixste.errors import MixsteError
from mixste.models.checkpoint import Shapes
from mixste.official.formats import Format
from mixste.recipe import ModelSettings

STCFORMER_FRAMES = 81  # of the weights that were released
JOINTS = 17
UNTOLD = ("heads", "step", "dropout", "drop_path", "output")
STEPS = {"stcformer": {27: 3, 81: 3, 243: 2}, "pstmo": {243: 2}}


@dataclass(frozen=True)
class Size:
    """Settings and joints of a network, and which of them its file does not hold."""

    settings: ModelSettings
    joints: int
    assumed: dict[str, object] = field(default_factory=dict)


def size_of(path: Path, form: Format, shapes: Shapes, frames: int | None) -> Size:
    """Read a network's size from the shapes in its file, `path`.

    Raises MixsteError for a key that is missing or of another rank, and where `frames` is asked for and the file is of
    another number.
    """
    width, depth, hidden, found, joints, channels = _READERS[form.architecture](_Table(path, form, shapes))
    if frames is not None and found is not None and frames != found:
        raise MixsteError(
            f"the {form.network} in {path} is not of {frames} frames",
            found=f"{found} in its weights",
            mend="leave --frames out",
        )
    length, mixste = found or frames or STCFORMER_FRAMES, form.architecture == "mixste"
    settings = ModelSettings(
        architecture=form.architecture,
        frames=length,
        step=STEPS.get(form.architecture, {}).get(length, 1),
        width=width,
        depth=depth,
        heads=4 if form.architecture == "stcformer_3dhp" else 8,
        mlp_ratio=hidden / width,
        dropout=0.0 if mixste else 0.1,
        drop_path=0.1 if mixste else 0.0,
        channels=channels,
        output="sequence" if mixste else "centre",
    )
    assumed: dict[str, object] = {key: getattr(settings, key) for key in UNTOLD}
    if joints is None:
        assumed |= {"frames": length, "joints": JOINTS}
    return Size(settings, joints or JOINTS, assumed)


class _Table:
    """Shapes by key, where a missing key or another rank is an error that names it."""

    def __init__(self, path: Path, form: Format, shapes: Shapes) -> None:
        self.path = path
        self.form = form
        self.shapes = shapes

    def __call__(self, key: str, rank: int) -> tuple[int, ...]:
        shape = self.shapes.get(key)
        if shape is None or len(shape) != rank:
            raise MixsteError(
                f"{self.path} is not a whole {self.form.network}",
                found=f"no {key}" if shape is None else f"{key} of shape {shape}",
                expected=f"{key} with {rank} dimensions",
            )
        return shape

    def layers(self, prefix: str) -> int:
        """One more than the highest number that follows a prefix."""
        numbers = [key.removeprefix(prefix).split(".")[0] for key in self.shapes if key.startswith(prefix)]
        return 1 + max((int(number) for number in numbers if number.isdecimal()), default=-1)


# Each reads width, depth, hidden width of the MLP, frames, joints (None: the file does not tell) and channels.
_Row = tuple[int, int, int, int | None, int | None, int]


def _mixste(table: _Table) -> _Row:
    width, channels = table("Spatial_patch_to_embedding.weight", 2)
    frames, joints = table("Temporal_pos_embed", 3)[1], table("Spatial_pos_embed", 3)[1]
    return width, table.layers("STEblocks."), table("STEblocks.0.mlp.fc1.weight", 2)[0], frames, joints, channels


def _pstmo(table: _Table) -> _Row:
    _, frames, width = table("Transformer.pos_embedding", 3)
    values = table("encoder.fc_1.weight", 3)[1]
    lifter = table.form.kind == "lifter"
    joints = table("fcn.1.weight", 3)[0] // 3 if lifter else table("fcn_dec.1.weight", 3)[0] // 2
    hidden = table("Transformer.model.layers.0.feed_forward.w_1.weight", 2)[0]
    return width, table.layers("Transformer.model.layers."), hidden, frames, joints, values // max(joints, 1)


def _stcformer(table: _Table) -> _Row:
    width, channels = table("pose_emb.weight", 2)
    (blocks,), (hidden,) = table.form.theirs("blocks."), table.form.theirs("blocks.0.fc1.weight")
    return width, table.layers(blocks), table(hidden, 2)[0], None, None, channels


_READERS: dict[str, Callable[[_Table], _Row]] = {
    "mixste": _mixste,
    "pstmo": _pstmo,
    "stcformer": _stcformer,
    "stcformer_3dhp": _stcformer,
}
