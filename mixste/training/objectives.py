"""What a training step asks of a model: what it sees, what it is charged for, and by what it is judged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Generator, Tensor

from mixste import losses
from mixste.corruption import corrupt
from mixste.errors import MixsteError
from mixste.inference import keep
from mixste.models import MaskedModel, PoseModel
from mixste.recipe import CorruptionSettings, LiftLoss, MaskSettings, SupervisedLoss
from mixste.windows import matching


@dataclass(frozen=True)
class Metric:
    """What validation measures: its column in records, its key in a model's provenance, its name and unit in words."""

    column: str
    key: str
    label: str
    unit: str


ON_SCREEN = "thousandths of a screen unit"
MPJPE = Metric("validation_mpjpe", "validation_mpjpe_mm", "validation MPJPE", "mm")
MPJPE_ON_SCREEN = Metric("validation_mpjpe", "validation_mpjpe_1e-3", "validation MPJPE", ON_SCREEN)
ERROR_2D = Metric("validation_2d_error", "validation_2d_error_1e-3", "validation 2D error", ON_SCREEN)


class Objective(Protocol):
    """A way to train. `squared`: half the square of the loss is minimised, its gradient is the loss times as large."""

    metric: Metric
    squared: bool

    def inputs(self, keypoints: Tensor, generator: Generator, batch: int) -> Tensor:
        """Keypoints `b t j 3`, of batches of so many windows, as the model shall see them."""

    def loss(self, model: Any, inputs: Tensor, target: Tensor, generator: Generator) -> dict[str, Tensor]:
        """Weighted parts of the loss; `target` is `b t j 3`, root-relative, in its own unit. Their sum is the loss."""

    def errors(self, model: Any, inputs: Tensor, target: Tensor, generator: Generator) -> Tensor:
        """What validation averages, `b t j` or `b 1 j`, in the target's or the screen's unit."""


class Lifting:
    """What the objectives that lift have in common: they are judged by what lifting keeps of a window."""

    metric = MPJPE
    squared = False

    def loss(self, model: PoseModel, inputs: Tensor, target: Tensor, generator: Generator) -> dict[str, Tensor]:
        """The parts of the loss, summed over all that the model is charged for; one frame stands for the centre."""
        summed: dict[str, Tensor] = {}
        for output in model.outputs(inputs[..., : model.settings.channels]):
            for name, value in self.parts(output.float(), matching(target, output)).items():
                summed[name] = summed[name] + value if name in summed else value
        return summed

    def errors(self, model: PoseModel, inputs: Tensor, target: Tensor, generator: Generator) -> Tensor:
        """Distance of every joint that is kept, in the target's unit."""
        kept = keep(model(inputs[..., : model.settings.channels]).float(), model.settings)
        return (kept - matching(target, kept)).norm(dim=-1)

    def parts(self, predicted: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Weighted parts of the loss of one prediction, `b t j 3`."""
        raise NotImplementedError


class Lift(Lifting):
    """Pre-training: recover 3D from corrupted exact projections."""

    def __init__(self, corruption: CorruptionSettings, settings: LiftLoss, *, joints: Sequence[str]) -> None:
        self.corruption = corruption
        self.settings = settings
        self.joints = joints

    def inputs(self, keypoints: Tensor, generator: Generator, batch: int) -> Tensor:
        """Corrupt keypoints `b t j 3` of the objective's joints."""
        return corrupt(keypoints, self.corruption, generator, joints=self.joints, batch=batch)

    def parts(self, predicted: Tensor, target: Tensor) -> dict[str, Tensor]:
        """MPJPE, N-MPJPE and velocity error."""
        return {
            "mpjpe": losses.mpjpe(predicted, target),
            "n_mpjpe": self.settings.n_mpjpe * losses.n_mpjpe(predicted, target),
            "velocity": self.settings.velocity * losses.velocity_error(predicted, target),
        }


class Supervised(Lifting):
    """Fine-tuning: MixSTE's weighted MPJPE, temporal consistency and velocity error on detections as they are."""

    def __init__(
        self, settings: SupervisedLoss, *, skeleton: str, joints: int, device: torch.device | None = None
    ) -> None:
        self.settings = settings
        self.squared = settings.squared
        weights = losses.joint_weights(skeleton, joints) if settings.weighted else torch.ones(joints)
        self.weights = weights.to(device)

    def inputs(self, keypoints: Tensor, generator: Generator, batch: int) -> Tensor:
        """Detections are used as they are."""
        return keypoints

    def parts(self, predicted: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Weighted MPJPE, TC-loss and velocity error."""
        return {
            "w_mpjpe": losses.mpjpe(predicted, target, self.weights),
            "temporal": self.settings.temporal * losses.temporal_consistency(predicted, self.weights),
            "velocity": self.settings.velocity * losses.velocity_error(predicted, target),
        }


class Masked:
    """Masked pose modelling (P-STMO's stage I): recover the keypoints that masks hide from those that they leave.

    In each frame so many joints are hidden, drawn anew for every frame, and a share of the frames is hidden whole;
    a step's masks are shared by its batch. The loss counts all joints of all frames, hidden or not.
    """

    metric = ERROR_2D
    squared = False

    def __init__(self, settings: MaskSettings, *, joints: int) -> None:
        self.settings = settings
        self.candidates = joints if settings.last_joint else joints - 1
        if settings.joints > self.candidates:
            found, expected = f"masks.joints {settings.joints}", f"{self.candidates} or fewer"
            raise MixsteError("cannot hide so many joints", found=found, expected=expected)

    def inputs(self, keypoints: Tensor, generator: Generator, batch: int) -> Tensor:
        """Keypoints as they are; the network hides what it is told to."""
        return keypoints

    def loss(self, model: MaskedModel, inputs: Tensor, target: Tensor, generator: Generator) -> dict[str, Tensor]:
        """Mean distance on the screen, hidden and shown alike."""
        return {"reconstruction": self.errors(model, inputs, target, generator).mean()}

    def errors(self, model: MaskedModel, inputs: Tensor, target: Tensor, generator: Generator) -> Tensor:
        """Distance of every keypoint from its reconstruction, screen units."""
        shown = inputs[..., : model.settings.channels]
        joints, frames = self.masks(shown.shape[1], shown.shape[2], generator)
        return (model.reconstruct(shown, joints, frames).float() - shown[..., :2]).norm(dim=-1)

    def masks(self, t: int, j: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """Draw which joints (t j) and which frames (t,) are hidden: True where they are."""
        device = generator.device
        order = torch.rand((t, self.candidates), device=device, generator=generator).argsort(dim=-1)
        joints = torch.zeros((t, j), dtype=torch.bool, device=device)
        joints.scatter_(1, order[:, : self.settings.joints], True)
        frames = torch.zeros(t, dtype=torch.bool, device=device)
        frames.scatter_(0, torch.randperm(t, device=device, generator=generator)[: int(t * self.settings.frames)], True)
        return joints, frames
