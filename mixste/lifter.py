"""From 2D keypoints of any detector to 3D motion: everything between pixels and metres."""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixste.errors import MixsteError
from mixste.inference import fitting_batch, lift_sequences
from mixste.lifting.pixels import pixels
from mixste.lifting.prepared import Prepared
from mixste.lifting.source import model_folder
from mixste.lifting.streaming import stream
from mixste.lifting.timing import covering, keypoints_at, moments, resampled
from mixste.models import PoseModel
from mixste.models.checkpoint import ModelConfig, load_model
from mixste.models.packed import packed
from mixste.motion import Motion
from mixste.registry import CHAMPION, pull
from mixste.sequences import Sequences
from mixste.skeleton import load_skeleton

THRESHOLD = 0.05  # confidence below which a keypoint is missing
PRECISIONS = ("fp32", "bf16", "int8")

Tell = Callable[[int, int], None]


class Lifter:
    """A trained model with all that it takes to use it; `config` says its skeleton, fps and unit.

    `lift` takes pixels of any known layout and fps. `predict` takes what the model itself does: screen units, its own
    skeleton and fps. `flip` averages with the mirrored input's result, `batch_size` is how many windows the model gets
    at once (by default what fits its size), `device` is "cpu", "cuda" or "auto", `precision` "fp32", "bf16" or, on CPUs
    that have its products, "int8" (`mixste.models.packed`; `mixste.machine.memory.keep_freed` makes them faster still).
    The model that is given is moved to the device, and stays in evaluation mode.
    """

    def __init__(
        self,
        model: PoseModel,
        config: ModelConfig,
        *,
        flip: bool = True,
        device: str | torch.device = "cpu",
        precision: str = "fp32",
        batch_size: int | None = None,
    ) -> None:
        if precision not in PRECISIONS:
            raise MixsteError("unknown precision", found=precision, expected=" or ".join(PRECISIONS))
        if batch_size is not None and batch_size < 1:
            raise MixsteError("cannot lift in such batches", found=batch_size, expected="1 window or more")
        self.device = _device(device)
        model = model.to(self.device).eval()
        self.model = packed(model, precision, self.device)
        self.config = config
        self.skeleton = load_skeleton(config.skeleton)
        self.precision = precision
        self.batch_size = batch_size or fitting_batch(model, self.device)
        self._flip = torch.tensor(self.skeleton.flip, device=self.device) if flip else None

    @classmethod
    def load(cls, model: str | Path, **options: Any) -> "Lifter":
        """Read a model folder (`model.safetensors` and `config.json`), or the file of an official checkpoint.

        `options` are the constructor's. MixsteError for what is neither, or is not whole.
        """
        with model_folder(model) as folder:
            return cls(*load_model(folder), **options)

    @classmethod
    def from_registry(cls, uri: str = CHAMPION, tracking_uri: str | None = None, **options: Any) -> "Lifter":
        """Read a registered model, `models:/NAME@ALIAS` or `models:/NAME/VERSION`, from MLflow.

        `tracking_uri` is by default MLFLOW_TRACKING_URI, or mlflow.db in the current folder; `options` are the
        constructor's. MixsteError if there is no such model or nobody answers.
        """
        with TemporaryDirectory(prefix="mixste-") as place:
            return cls.load(pull(uri, Path(place), tracking_uri), **options)

    def lift(
        self,
        keypoints: Any,
        *,
        skeleton: str,
        fps: float,
        image_size: tuple[float, float] | None,
        threshold: float = THRESHOLD,
        overlap: int | None = None,
        tell: Tell | None = None,
    ) -> Motion:
        """Lift one person's keypoints, `t j 2|3` in pixels (and confidence), to joints at the same frames.

        `skeleton` is the keypoints' layout (a name in `mixste/skeletons`), `image_size` (width, height). Keypoints are
        missing that are NaN, less sure than `threshold`, at 0, 0, or an image's size outside of it. Windows overlap by
        so many frames, by default half a window. `tell` is told how many of the model's frames are done, and of how
        many. Joints are in the model's unit, camera axes, relative to the root; `report` says what was mapped, filled
        and guessed. Memory beside input and output does not grow with length. MixsteError for input that cannot be
        lifted.
        """
        given = pixels(keypoints, skeleton=skeleton, fps=fps, image_size=image_size, threshold=threshold)
        overlap = self._overlap(overlap)
        prepared = Prepared(given, self.skeleton)
        joints = np.empty((len(given), len(self.skeleton.joints), 3), dtype=np.float32)
        done = 0
        for block in self._lift(prepared, given.fps, overlap, tell):
            joints[done : done + len(block)] = block - block[:, [self.skeleton.root]]
            done += len(block)
        return Motion(
            joints=joints,
            skeleton=self.skeleton.name,
            fps=given.fps,
            unit=self.config.unit,
            report=tuple(self._sentences(prepared)),
        )

    def _lift(self, prepared: Prepared, fps: float, overlap: int, tell: Tell | None) -> Iterator[np.ndarray]:
        """Yield lifted frames at the input's own fps."""
        own = self.config.fps
        last_frame = len(prepared) - 1
        frames = covering(len(prepared), fps, own)

        def read(first: int, last: int) -> Tensor:
            if fps == own:
                values = prepared.read(first, last)
            else:
                times = moments(first, last, frames, step=fps / own, end=last_frame)
                values = keypoints_at(prepared.read, len(prepared), times)
            return torch.from_numpy(values).to(self.device)

        blocks = stream(
            self.model,
            read,
            frames,
            flip=self._flip,
            overlap=overlap,
            batch_size=self.batch_size,
            precision=self.precision,
            tell=tell,
        )
        arrays = (_finite(block.numpy()) for block in blocks)
        if fps == own:
            return arrays
        return resampled(arrays, frames, step=own / fps, end=last_frame * own / fps, wanted=len(prepared))

    def _sentences(self, prepared: Prepared) -> Iterator[str]:
        given, own = prepared.pixels, self.config.fps
        if self.config.model.channels == 3 and not given.sure:
            yield "The model wants confidence and there is none: 1 where there is a joint."
        yield from prepared.sentences()
        if len(given) == 1:
            yield "There is one frame: it was lifted as if the person stood still."
        elif given.fps != own:
            yield f"Resampled from {given.fps:g} to {own:g} fps, and the result back, by cubic splines."
        if self.precision != "fp32":
            yield f"The model computed in {self.precision}, which moves joints by a few millimetres."
        if self.config.unit != "m":
            yield f"The model gives {self.config.unit} units, not metres: the size of the person is not known."

    def predict(self, keypoints: np.ndarray, *, overlap: int | None = None) -> np.ndarray:
        """Lift sequences of one length, `b t j c` in screen units at `config.fps`, to `b t j 3`.

        The joints are in `config.unit`, in camera axes, root-relative. Windows overlap by so many frames, by default
        half a window, and are blended; MixsteError if by a whole one. A model that keeps the centre frame has a window
        around every frame, whatever the overlap.
        """
        batch = self._checked(keypoints)
        names = ("clip",) * len(batch)
        every = batch.flatten(0, 1)
        sequences = Sequences(
            keypoints=every,
            joints=every,
            offsets=torch.arange(len(batch) + 1) * batch.shape[1],
            clips=names,
            subjects=names,
            actions=names,
            cameras=names,
            skeleton=self.skeleton.name,
            fps=self.config.fps,
        ).to(self.device)
        lifted = lift_sequences(
            self.model,
            sequences,
            flip=self._flip,
            overlap=self._overlap(overlap),
            batch_size=self.batch_size,
            precision=self.precision,
        )
        return lifted.unflatten(0, batch.shape[:2]).cpu().numpy()

    def _overlap(self, overlap: int | None) -> int:
        frames = self.model.settings.frames
        overlap = frames // 2 if overlap is None else overlap
        if not isinstance(overlap, int | np.integer) or overlap not in range(frames):
            raise MixsteError("cannot overlap windows so", found=overlap, expected=f"0 to {frames - 1} frames")
        return overlap

    def _checked(self, keypoints: np.ndarray) -> Tensor:
        array = np.asarray(keypoints, dtype=np.float32)
        joints, channels = len(self.skeleton.joints), self.config.model.channels
        if array.ndim != 4 or array.shape[-2] != joints or array.shape[-1] < channels or 0 in array.shape:
            raise MixsteError(
                "cannot lift these keypoints",
                found=f"shape {array.shape}",
                expected=f"`b t j c` with {joints} joints ({self.skeleton.name}) and {channels} channels or more",
            )
        if not np.isfinite(array).all():
            raise MixsteError(
                "cannot lift these keypoints",
                found=f"{int((~np.isfinite(array)).sum())} values that are NaN or infinite",
                mend="set the x, y and confidence of missing joints to 0",
            )
        return torch.from_numpy(array).to(self.device)


def _device(given: str | torch.device) -> torch.device:
    name = str(given)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise MixsteError("cannot lift on a GPU", found="none that torch can use", mend='use device "cpu" or "auto"')
    try:
        device = torch.device(name)
    except RuntimeError:
        raise MixsteError("unknown device", found=name, expected="cpu, cuda or auto") from None
    if device.type not in ("cpu", "cuda"):
        raise MixsteError("cannot lift on this device", found=name, expected="cpu, cuda or auto")
    if device.index:  # kernels run on the process's own GPU
        mend = f"set CUDA_VISIBLE_DEVICES={device.index} and use cuda"
        raise MixsteError("cannot choose a GPU by its number", found=name, expected="cpu, cuda or auto", mend=mend)
    return device


def _finite(joints: np.ndarray) -> np.ndarray:
    if not np.isfinite(joints).all():
        raise MixsteError(
            "this model lifts nothing",
            found=f"{int((~np.isfinite(joints)).sum())} of the {joints.size} values that it gave are NaN or infinite",
            mend="its weights are damaged, or were made by a training that diverged: take other ones",
        )
    return joints
