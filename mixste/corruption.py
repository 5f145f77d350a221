"""What pre-training does to exact 2D: MotionBERT's synthetic detector (Zhu et al. 2023), then masks.

At a key frame a joint's error is Gaussian or, as often as the real detector was far off, uniform, and it changes evenly
from one to the next. Differences from the original: every draw is made per sample, unless `shared` asks for the
original's one draw of white noise and hidden frames for a batch; and there is a key frame for every 9 frames, at least
two, spread evenly from the first frame to the last (the original has 27 in 243 frames).
"""

from collections.abc import Sequence
from functools import cache

import torch
from einops import rearrange
from torch import Generator, Tensor
from torch.nn import functional

from mixste.recipe import CorruptionSettings
from mixste.skeleton import load_skeleton

KEY_FRAMES_APART = 9
WHITE_NOISE = 0.002
UNIFORM_RANGE = 0.06
# Statistics of a real detector's error in screen units, per joint of h36m17, times 1e-3: mean x, y; std x, y.
_MEAN_X = (
    0.813, -0.148, 2.039, 0.944, 1.867, 1.933, 0.894, 2.468, 2.141, 1.656, 0.837, 0.794, 1.499, 1.159, 2.104,
    1.682, 1.664,
)  # fmt: skip
_MEAN_Y = (
    0.212, 1.998, -1.510, 0.908, -0.704, -5.204, -1.872, 2.334, -6.508, 1.655, 1.593, -4.622, 0.296, 1.630,
    -3.166, -0.330, 1.318,
)  # fmt: skip
_STD_X = (
    3.663, 7.135, 6.084, 8.953, 6.717, 7.013, 9.506, 6.588, 5.491, 5.339, 3.416, 8.007, 5.168, 4.990, 7.823,
    6.009, 5.370,
)  # fmt: skip
_STD_Y = (
    3.573, 5.109, 5.003, 5.293, 5.328, 4.921, 5.625, 4.968, 5.305, 4.877, 3.492, 6.087, 4.754, 5.089, 7.934,
    5.721, 5.684,
)  # fmt: skip
_GAUSSIAN_SHARE = (
    0.998745, 0.966954, 0.889607, 0.893835, 0.97462, 0.876673, 0.821006, 0.957807, 0.918315,
    0.96794, 0.98412, 0.890993, 0.801556, 0.70277, 0.880896, 0.824629, 0.728748,
)  # fmt: skip
# Confidence from displacement d: a / (d + a) + b d + normal(m, s), clipped to 0..1.
_CONFIDENCE = {"a": 0.028, "b": 1.1, "mean": -0.0045856964, "std": 0.14310569}


def corrupt(
    keypoints: Tensor,
    settings: CorruptionSettings,
    generator: Generator,
    *,
    joints: Sequence[str],
    batch: int | None = None,
) -> Tensor:
    """Noise and confidence, then masks, on exact keypoints `b t j 3` (screen units, confidence) of these joints.

    If the settings say `shared`, every `batch` of them, else all, have one draw of white noise and of hidden frames.
    """
    sharing = max(1, batch or len(keypoints)) if settings.shared else 1
    noisy = keypoints
    if settings.noise:
        noisy = add_noise(keypoints, settings.noise, generator, joints=joints, sharing=sharing)
    return mask(noisy, settings, generator, sharing=sharing)


def add_noise(
    keypoints: Tensor, strength: float, generator: Generator, *, joints: Sequence[str], sharing: int = 1
) -> Tensor:
    """Move keypoints `b t j 3` of these joints like a detector, and set their confidence from how far they moved.

    So many after each other share one draw of white noise.
    """
    b, t, j, _ = keypoints.shape
    drift = _drift(b, t, tuple(joints), keypoints.device, generator) * strength
    white = _normal((b // sharing, t, j, 2), keypoints.device, generator) * (WHITE_NOISE * strength)
    white = white.repeat_interleave(sharing, dim=0) if sharing > 1 else white
    displacement = drift + white
    distance = displacement.norm(dim=-1, keepdim=True)
    c = _CONFIDENCE
    spread = _normal((b, t, j, 1), keypoints.device, generator) * c["std"] + c["mean"]
    confidence = (c["a"] / (distance + c["a"]) + c["b"] * distance + spread).clamp(0, 1)
    return torch.cat([keypoints[..., :2] + displacement, confidence], dim=-1)


def mask(keypoints: Tensor, settings: CorruptionSettings, generator: Generator, *, sharing: int = 1) -> Tensor:
    """Set single joints and whole frames of `b t j 3` to zero, confidence included.

    So many after each other share one draw of frames.
    """
    b, t, j, _ = keypoints.shape
    seen_joints = torch.rand((b, t, j, 1), device=keypoints.device, generator=generator) >= settings.joint_mask
    frames = torch.rand((b // sharing, t, 1, 1), device=keypoints.device, generator=generator)
    seen_frames = (frames.repeat_interleave(sharing, dim=0) if sharing > 1 else frames) >= settings.frame_mask
    return keypoints * (seen_joints & seen_frames)


def _drift(b: int, t: int, joints: tuple[str, ...], device: torch.device, generator: Generator) -> Tensor:
    keys, j = max(2, round(t / KEY_FRAMES_APART)), len(joints)
    mean, std, share = _detector(joints, device)
    gaussian = mean + std * _normal((b, keys, j, 2), device, generator)
    uniform = (torch.rand((b, keys, j, 2), device=device, generator=generator) - 0.5) * UNIFORM_RANGE
    is_gaussian = torch.rand((b, keys, j, 1), device=device, generator=generator) < share
    at_keys = torch.where(is_gaussian, gaussian, uniform)
    flat = rearrange(at_keys, "b k j c -> b (j c) k")
    smooth = functional.interpolate(flat, size=t, mode="linear", align_corners=True)
    return rearrange(smooth, "b (j c) t -> b t j c", j=j).contiguous()


@cache
def _detector(joints: tuple[str, ...], device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (j 2), std (j 2) and share of Gaussian key frames (j 1) by the joints' names; others are the average joint.

    Kept: to send them to a GPU anew would wait for all that it has to do.
    """
    known = torch.tensor([_MEAN_X, _MEAN_Y, _STD_X, _STD_Y, _GAUSSIAN_SHARE]).T
    known[:, :4] *= 1e-3
    rows = torch.cat([known, known.mean(0, keepdim=True)])
    of_name = {name: row for row, name in enumerate(load_skeleton("h36m17").joints)}
    mean, std, share = rows[[of_name.get(name, len(known)) for name in joints]].to(device).split([2, 2, 1], dim=1)
    return mean, std, share


def _normal(shape: tuple[int, ...], device: torch.device, generator: Generator) -> Tensor:
    return torch.randn(shape, device=device, generator=generator)
