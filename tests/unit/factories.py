"""Small models, sequences, tables and trainers, all drawn from seeds."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mixste.models import PoseModel, build_masked, build_model
from mixste.models.checkpoint import ModelConfig, save_model
from mixste.recipe import (
    CorruptionSettings,
    FinetuneSettings,
    LiftLoss,
    MaskSettings,
    ModelSettings,
    OptimiserSettings,
    PretrainSettings,
    SupervisedLoss,
)
from mixste.sequences import Sequences
from mixste.skeleton import load_skeleton
from mixste.table import Metadata
from mixste.table_writer import write_table
from mixste.training import Trainer
from mixste.training.objectives import Lift, Masked, Objective, Supervised
from pipelines.settings import ClusterSettings

CPU = torch.device("cpu")
SKELETON, FPS = "h36m17", 50.0
FLIP = load_skeleton(SKELETON).flip
TIMINGS = ("frames_per_second", "step_seconds", "data_seconds", "memory_peak_gib", "seconds")


def model_settings(**changes: Any) -> ModelSettings:
    """MixSTE, or another `architecture`, of a size for tests."""
    architecture = changes.get("architecture", "mixste")
    size = {"frames": 9, "step": 1, "width": 16, "depth": 2, "heads": 2, "mlp_ratio": 2.0, "channels": 3}
    drops = {"dropout": 0.0, "drop_path": 0.1 if architecture == "mixste" else 0.0}
    output = "centre" if architecture == "pstmo" else "sequence"
    return ModelSettings(**{"architecture": architecture, **size, **drops, "output": output, **changes})


def model(seed: int = 0, *, joints: int = 17, **changes: Any) -> PoseModel:
    """A tiny model whose positions and norms are not at their trivial start, so that they matter."""
    torch.manual_seed(seed)
    built = build_model(model_settings(**changes), joints=joints)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return built.eval()


def optimiser_settings(**changes: Any) -> OptimiserSettings:
    adam = {"name": "adamw", "lr": 3e-3, "weight_decay": 0.01, "amsgrad": False, "clip": 1.0, "output_share": 1.0}
    return OptimiserSettings(**{**adam, "warmup": 0.0, "schedule": "constant", "decay": 0.99, **changes})


def pretrain_settings(**changes: Any) -> PretrainSettings:
    """MotionBERT's objective, three epochs."""
    corruption = CorruptionSettings(noise=1.0, joint_mask=0.05, frame_mask=0.1)
    lift = {"objective": "lift", "views": "random", "corruption": corruption, "masks": None}
    return PretrainSettings(
        **{**_short(), **lift, "flip": "half", "loss": LiftLoss(n_mpjpe=0.5, velocity=2.0), **changes}
    )


def mpm_settings(**changes: Any) -> PretrainSettings:
    """Masked pose modelling, three epochs."""
    masks = MaskSettings(joints=2, last_joint=True, frames=0.5)
    return pretrain_settings(**{"objective": "mpm", "corruption": None, "loss": None, "masks": masks, **changes})


def finetune_settings(**changes: Any) -> FinetuneSettings:
    """MixSTE's loss, three epochs."""
    loss = SupervisedLoss(weighted=True, temporal=0.5, velocity=2.0, squared=False)
    return FinetuneSettings(**{**_short(), "flip": "none", "loss": loss, **changes})


def cluster_settings(**changes: Any) -> ClusterSettings:
    """A Ray of our own with one worker of one CPU."""
    where = {"address": None, "autoscaling": False, "dashboard": False, "storage": "runs"}
    workers = {"workers": 1, "min_workers": None, "resize_seconds": 60.0, "cpus_per_worker": 1, "gpus_per_worker": 0}
    steps = {"precision": "fp32", "accumulate": 1, "compile": False, "recompute": False}
    return ClusterSettings(**{**where, **workers, **steps, **changes})


def _short() -> dict[str, Any]:
    amount = {"epochs": 3, "windows_per_epoch": None, "batch_size": 4, "validation_windows": 8}
    return {**amount, "stride": 9, "place": "inside", "optimiser": optimiser_settings(), "keep": "best"}


def sequences(lengths: Sequence[int] = (30, 21, 5), *, seed: int = 0, joints: int = 17) -> Sequences:
    """Smooth motion 4 m before a camera, its exact projection, confidence 1; two cameras a clip."""
    generator = torch.Generator().manual_seed(seed)
    base = 0.5 * torch.randn((1, joints, 3), generator=torch.Generator().manual_seed(99))
    parts = []
    for length in lengths:
        time = torch.arange(length)[:, None, None] / 10
        phase, size = 6 * torch.rand((1, joints, 3), generator=generator), 0.2
        parts.append(base + size * torch.sin(time + phase) + torch.tensor([0.0, 0.0, 4.0]))
    absolute = torch.cat(parts)
    screen = 2 * absolute[..., :2] / absolute[..., 2:]
    return Sequences(
        keypoints=torch.cat([screen, torch.ones_like(screen[..., :1])], dim=-1),
        joints=absolute,
        offsets=torch.tensor([0, *np.cumsum(lengths)]),
        clips=tuple(f"trial{i // 2}/0" for i in range(len(lengths))),
        subjects=tuple(f"S{i // 4}" for i in range(len(lengths))),
        actions=tuple(("walk", "sit")[i // 2 % 2] for i in range(len(lengths))),
        cameras=tuple("ab"[i % 2] for i in range(len(lengths))),
        skeleton=SKELETON,
        fps=FPS,
    )


def objective(settings: PretrainSettings | FinetuneSettings, device: torch.device = CPU) -> Objective:
    """What the settings train for."""
    if isinstance(settings, FinetuneSettings):
        return Supervised(settings.loss, skeleton=SKELETON, joints=17, device=device)
    if settings.masks:
        return Masked(settings.masks, joints=17)
    return Lift(settings.corruption, settings.loss, joints=load_skeleton(SKELETON).joints)


def trainer(settings: PretrainSettings | FinetuneSettings | None = None, **changes: Any) -> Trainer:
    """A trainer of a fresh tiny model; `changes` replace the trainer's arguments, `model` its settings."""
    settings = settings or pretrain_settings()
    seed = changes.setdefault("seed", 0)
    torch.manual_seed(seed)
    make = build_masked if isinstance(settings, PretrainSettings) and settings.masks else build_model
    arguments = {
        "model": make(changes.pop("model", None) or model_settings(), joints=17),
        "objective": objective(settings, changes.get("device", CPU)),
        "data": sequences((30, 21, 5, 40), seed=1),
        "validation": sequences((20, 9), seed=2),
        "settings": settings,
        "flip": FLIP,
        "device": CPU,
    }
    return Trainer(**{**arguments, **changes})


def model_folder(folder: Path, network: PoseModel, kind: str = "lifter", **changes: Any) -> Path:
    """Write a tiny network as a model folder with a history, as training leaves it."""
    config = ModelConfig(model=network.settings, skeleton=SKELETON, fps=FPS, kind=kind)
    save_model(folder, network.state_dict(), replace(config, provenance={"validation_mpjpe_mm": 5.0}, **changes))
    (folder / "history.csv").write_text("epoch,validation_mpjpe\n1,100\n2,90\n")
    return folder


def write_projections(path: Path, data: Sequences, **metadata: Any) -> Path:
    """Write sequences as a projections table."""
    lengths = data.offsets.diff().tolist()
    columns = {
        name: [value for value, length in zip(getattr(data, f"{name}s"), lengths, strict=True) for _ in range(length)]
        for name in ("clip", "subject", "action", "camera")
    }
    arrays = {
        "frame": np.concatenate([np.arange(length, dtype=np.int32) for length in lengths]),
        "keypoints": data.keypoints.numpy(),
        "joints": data.joints.numpy(),
    }
    plain = Metadata(
        kind="projections",
        skeleton=SKELETON,
        unit="m",
        frame="camera, X right, Y down, Z forward",
        fps=FPS,
        source="sample",
        licence="MIT",
        synthetic=True,
        detections="exact",
        screen="half widths",
    )
    write_table(path, [{**columns, **arrays}], replace(plain, **metadata))
    return path
