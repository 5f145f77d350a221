"""From a model folder and 2D keypoints to 3D joints: windows, channels, flip and precision taken care of."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mixste.errors import MixsteError
from mixste.inference import lift_sequences
from mixste.models import PoseModel
from mixste.models.checkpoint import ModelConfig, load_model
from mixste.sequences import Sequences
from mixste.skeleton import load_skeleton


class Lifter:
    """A trained model that lifts keypoints of its own skeleton, fps and screen units to joints in its own unit.

    `config` says which: `config.unit` is "m", or "screen" for a model that was trained on MotionBERT's data.
    """

    def __init__(self, model: PoseModel, config: ModelConfig, *, flip: bool = True, device: str = "cpu") -> None:
        self.model = model.to(device).eval()
        self.config = config
        self.skeleton = load_skeleton(config.skeleton)
        self.device = torch.device(device)
        self._flip = torch.tensor(self.skeleton.flip, device=device) if flip else None

    @classmethod
    def load(cls, folder: str | Path, *, flip: bool = True, device: str = "cpu") -> "Lifter":
        """Read a model folder (`model.safetensors` and `config.json`)."""
        model, config = load_model(Path(folder))
        return cls(model, config, flip=flip, device=device)

    def predict(self, keypoints: np.ndarray, *, overlap: int | None = None) -> np.ndarray:
        """Lift sequences of one length, `b t j c`, to `b t j 3`: each as `lift` does."""
        return self._lifted(self._checked(keypoints, 4), overlap)

    def lift(self, keypoints: np.ndarray, *, overlap: int | None = None) -> np.ndarray:
        """Lift one sequence of any length, `t j c` in screen units, to `t j 3`.

        The joints are in `config.unit`, in camera axes, root-relative. Windows overlap by so many frames, by default
        half a window, and are blended; MixsteError if by a whole one. A model that keeps the centre frame has a window
        around every frame, whatever the overlap.
        """
        return self._lifted(self._checked(keypoints, 3)[None], overlap)[0]

    def _lifted(self, batch: Tensor, overlap: int | None) -> np.ndarray:
        frames, names = self.model.settings.frames, ("clip",) * len(batch)
        overlap = frames // 2 if overlap is None else overlap
        if overlap not in range(frames):
            raise MixsteError("cannot overlap windows so", found=overlap, expected=f"0 to {frames - 1} frames")
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
        lifted = lift_sequences(self.model, sequences, flip=self._flip, overlap=overlap)
        return lifted.unflatten(0, batch.shape[:2]).cpu().numpy()

    def _checked(self, keypoints: np.ndarray, dimensions: int) -> Tensor:
        array = np.asarray(keypoints, dtype=np.float32)
        joints, channels = len(self.skeleton.joints), self.config.model.channels
        letters = "b t j c"[-2 * dimensions + 1 :]
        if array.ndim != dimensions or array.shape[-2] != joints or array.shape[-1] < channels or 0 in array.shape:
            raise MixsteError(
                "cannot lift these keypoints",
                found=f"shape {array.shape}",
                expected=f"`{letters}` with {joints} joints ({self.skeleton.name}) and {channels} channels or more",
            )
        if not np.isfinite(array).all():
            raise MixsteError(
                "cannot lift these keypoints",
                found=f"{int((~np.isfinite(array)).sum())} values that are NaN or infinite",
                mend="set the x, y and confidence of missing joints to 0",
            )
        return torch.from_numpy(array).to(self.device)
