"""From a model folder and 2D keypoints to 3D joints: windows, channels, flip and precision taken care of."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mixste.errors import MixsteError
from mixste.inference import lift, lift_sequences
from mixste.models import MixSTE
from mixste.models.checkpoint import ModelConfig, load_model
from mixste.sequences import Sequences
from mixste.skeleton import load_skeleton


class Lifter:
    """A trained model that lifts keypoints of its own skeleton, fps and screen units (`config` says which)."""

    def __init__(self, model: MixSTE, config: ModelConfig, *, flip: bool = True, device: str = "cpu") -> None:
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

    def predict(self, keypoints: np.ndarray) -> np.ndarray:
        """Lift windows `b t j c` (screen units, t up to the model's frames) to `b t j 3`: metres, camera axes."""
        return lift(self.model, self._checked(keypoints, 4), flip=self._flip).cpu().numpy()

    def lift(self, keypoints: np.ndarray, *, overlap: int | None = None) -> np.ndarray:
        """Lift one sequence of any length, `t j c` in screen units, to `t j 3`: metres, camera axes, root-relative.

        Windows overlap by so many frames, by default half a window, and are blended.
        """
        overlap = self.model.settings.frames // 2 if overlap is None else overlap
        tensor = self._checked(keypoints, 3)
        names = ("clip",)
        sequence = Sequences(
            keypoints=tensor,
            joints=tensor,
            offsets=torch.tensor([0, len(tensor)]),
            clips=names,
            subjects=names,
            actions=names,
            cameras=names,
            skeleton=self.skeleton.name,
            fps=self.config.fps,
        ).to(self.device)
        return lift_sequences(self.model, sequence, flip=self._flip, overlap=overlap).cpu().numpy()

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
