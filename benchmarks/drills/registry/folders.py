"""What `register` reads, made up: a rig of one short clip, a tiny model, the evaluation of a given error."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mixste.files.hashing import data_hash
from mixste.models import build_model
from mixste.models.checkpoint import WEIGHTS, ModelConfig, save_model
from mixste.table import Metadata
from mixste.table_writer import write_table
from pipelines.params import Params

JOINTS, FRAMES = 17, 30
TEST_DATA = "t" * 32


def keypoints(clips: int, frames: int) -> np.ndarray:
    """Keypoints `b t j c` drawn from a seed."""
    return np.random.default_rng(0).uniform(-0.5, 0.5, (clips, frames, JOINTS, 3)).astype(np.float32)


def write_rig(params: Params, root: Path = Path()) -> None:
    """Write a clip of every test subject."""
    for subject in params.data.split.test.subjects:
        columns = {
            **{name: [value] * FRAMES for name, value in (("clip", "T/0"), ("subject", subject), ("action", "walk"))},
            "camera": ["54138969"] * FRAMES,
            "frame": np.arange(FRAMES, dtype=np.int32),
            "keypoints": keypoints(1, FRAMES)[0],
            "joints": keypoints(1, FRAMES)[0],
        }
        frame, screen = "camera, X right, Y down, Z forward", "width"
        metadata = Metadata(
            "projections", params.data.skeleton, "m", frame, params.data.fps, "sample", "MIT", True, "simulated", screen
        )
        path = root / f"datasets/projections/rig/sample-{subject}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, [columns], metadata)


def write_model(params: Params, *, seed: int, root: Path = Path()) -> None:
    """Write the model folder `models/finetuned` of weights drawn from a seed."""
    torch.manual_seed(seed)
    config = ModelConfig(model=params.model, skeleton=params.data.skeleton, fps=params.data.fps)
    folder = root / "models/finetuned"
    folder.mkdir(parents=True, exist_ok=True)
    model = build_model(params.model, joints=JOINTS)
    provenance = {"data_hash": "d" * 32, "parent": {"data_hash": "p" * 32}}
    save_model(folder, model.state_dict(), replace(config, provenance=provenance))


def write_evaluation(errors: Sequence[float], *, test_data: str = TEST_DATA, root: Path = Path()) -> None:
    """Write the evaluation of `models/finetuned` with these MPJPE (mm) on as many clips."""
    scores = {"mpjpe": float(np.mean(errors)), "p_mpjpe": 1.0, "n_mpjpe": 2.0, "mpjve": 3.0}
    folder = root / "reports/evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    weights = {"finetuned": data_hash(root / "models/finetuned" / WEIGHTS)}
    metrics = {"finetuned": scores, "test_data": test_data, "weights_hash": weights}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    rows = [f"finetuned,walk,S7/{n},{1 / len(errors):.9f},{error:.3f},1.000,8" for n, error in enumerate(errors)]
    lines = ["model,group,clip,weight,mpjpe,p_mpjpe,frames", *rows]
    (folder / "per_clip.csv").write_text("\n".join(lines) + "\n")
