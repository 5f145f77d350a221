"""Exported files beside the model they are of: size, distance, what it does to the test error, frames a second.

    python -m benchmarks.export models/finetuned --data datasets/projections/rig/sample-S6.parquet
    python -m benchmarks.export base

MODEL is a model folder, or a name in conf/model: drawn weights, whose speed and parity say something, and nothing else.
Every file lifts the same windows in turns; speeds are medians.
"""

import argparse
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from benchmarks.table import Row, tell
from mixste.costs import find
from mixste.exporting import onnx_file, torch_file
from mixste.exporting.facts import describe
from mixste.exporting.parity import Run, distance, random_windows
from mixste.exporting.speed import batch, frames_per_second
from mixste.inference import cut_for, keep, lift
from mixste.models import PoseModel, build_model
from mixste.models.checkpoint import CONFIG, ModelConfig, load_model
from mixste.sequences import read_sequences
from mixste.windows import gather

FORMATS = {"onnx": onnx_file, "pt2": torch_file}


def model_of(name: str) -> tuple[PoseModel, ModelConfig]:
    """Return a model folder's model, or one of conf/model with drawn weights."""
    if (Path(name) / CONFIG).exists():
        return load_model(Path(name))
    settings, joints = find(name)
    torch.manual_seed(0)
    config = ModelConfig(model=settings, skeleton="h36m17", fps=50.0)
    return build_model(settings, joints=joints).eval(), config


def windows_of(config: ModelConfig, model: PoseModel, data: Path | None, most: int) -> tuple[Tensor, Tensor | None]:
    """Return windows of keypoints, and the joints that belong to what is kept of them; without data random ones."""
    if data is None:
        return random_windows(model, min(most, 16), config.model.frames), None
    sequences = read_sequences([data], skeleton=config.skeleton, fps=config.fps)
    cut = cut_for(config.model, sequences.offsets, stride=config.model.span)
    index = cut.index(torch.linspace(0, len(cut) - 1, min(most, len(cut))).long())
    keypoints = gather(sequences.keypoints, index)[..., : config.model.channels]
    return keypoints, gather(sequences.joints, keep(index, config.model))


def mpjpe(run: Run, keypoints: Tensor, joints: Tensor | None) -> float | None:
    """Return the mean error of joints relative to the root, mm; None without ground truth."""
    if joints is None:
        return None
    found = torch.cat([run(part) for part in keypoints.split(16)])
    apart = (found - found[:, :, :1]) - (joints - joints[:, :, :1])
    return round(float(apart.norm(dim=-1).mean()) * 1000, 2)


def files(model: PoseModel, config: ModelConfig, place: Path) -> dict[str, Path]:
    """Write every file that there can be of a model, in `place`."""
    made = {}
    for ending, form in FORMATS.items():
        writer = form.Writer(model)
        for precision in form.PRECISIONS:
            made[f"{ending} {precision}"] = path = place / f"{precision}.{ending}"
            writer.write(path, describe(config, precision))
    return made


def measure(model: PoseModel, config: ModelConfig, data: Path | None, windows: int, rounds: int) -> list[Row]:
    """Return a row for the model and one for every file."""
    keypoints, joints = windows_of(config, model, data, windows)
    batches = {len(each): each for each in (batch(model), random_windows(model, 1, config.model.frames))}
    with TemporaryDirectory() as folder:
        paths = files(model, config, Path(folder))
        sizes = {name: path.stat().st_size / 2**20 for name, path in paths.items()}
        runs: dict[str, Run] = {"model": partial(lift, model)}
        runs |= {name: FORMATS[name.split()[0]].Runner(path) for name, path in paths.items()}
    apart = {name: distance(run, model, keypoints.split(16)) for name, run in runs.items()}
    speeds = {
        f"frames/s, {count} window{'s' * (count > 1)}": frames_per_second(runs, each, rounds=rounds)
        for count, each in batches.items()
    }
    return [
        {
            "file": name,
            "MiB": round(sizes[name], 2) if name in sizes else "",
            "off, mean mm": f"{apart[name].mean:.2g}",
            "off, most mm": f"{apart[name].most:.2g}",
            "MPJPE mm": mpjpe(run, keypoints, joints) or "",
            **{what: round(found[name], 1) for what, found in speeds.items()},
        }
        for name, run in runs.items()
    ]


def main() -> None:
    """Print a Markdown table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--data", type=Path, help="a table of projections (default: random keypoints)")
    parser.add_argument(
        "--windows", type=int, default=256, help="that joints are compared on, at most (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    rows = measure(*model_of(chosen.model), chosen.data, chosen.windows, chosen.rounds)
    print(f"{chosen.model}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}\n")
    tell(rows, chosen.json)


if __name__ == "__main__":
    main()
