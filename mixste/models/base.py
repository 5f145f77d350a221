"""What training, inference and checkpoints know of a lifter, whatever its architecture."""

from typing import ClassVar

from torch import Tensor, nn

from mixste.errors import MixsteError
from mixste.recipe import ModelSettings


class PoseModel(nn.Module):
    """2D keypoints `b t j c` (screen units, c = 2 or 3) to 3D joints (metres, camera axes).

    `forward` gives `b t j 3`, or `b 1 j 3` where the architecture lifts only the centre frame. `head_prefixes` names
    the parameters that exist for the 3D output alone: masked pre-training does not give them;
    `output_layers` begin the names of the layers that give the output's numbers.
    """

    head_prefixes: ClassVar[tuple[str, ...]]
    output_layers: ClassVar[tuple[str, ...]] = ("head.",)

    def __init__(self, settings: ModelSettings, joints: int) -> None:
        super().__init__()
        self.settings = settings
        self.joints = joints

    def outputs(self, keypoints: Tensor) -> tuple[Tensor, ...]:
        """Everything that training charges: predictions of `t` frames or of the centre frame."""
        return (self(keypoints),)

    def features(self, keypoints: Tensor) -> Tensor:
        """What the 3D head sees, `b t j c`; only of architectures that keep joints and frames apart."""
        raise NotImplementedError

    def linear_macs(self, frames: int) -> int:
        """Multiply-adds of the linear and convolution layers for one window of `frames` frames."""
        raise NotImplementedError

    def all_macs(self, frames: int) -> int:
        """Multiply-adds of every matrix product, the two of attention included."""
        raise NotImplementedError

    def check(self, keypoints: Tensor, *, exactly: bool = False) -> None:
        """Raise MixsteError unless keypoints are `b t j c` of this model, of `exactly` its frames or of fewer."""
        frames, wanted = self.settings.frames, (self.joints, self.settings.channels)
        fits = keypoints.ndim == 4 and tuple(keypoints.shape[2:]) == wanted
        if not fits or keypoints.shape[1] > frames or (exactly and keypoints.shape[1] != frames):
            raise MixsteError(
                "cannot lift these keypoints",
                found=f"shape {tuple(keypoints.shape)}",
                expected=f"(b, t {'=' if exactly else '<='} {frames}, {wanted[0]}, {wanted[1]})",
                mend="cut long sequences into windows (mixste.windows) and give the model's own joints and channels",
            )
