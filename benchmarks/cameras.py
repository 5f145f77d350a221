"""Errors of models where nobody trained them to look from: random views of the test subjects, beside the rig's.

After `dvc repro evaluate` of data with world coordinates:

python -m benchmarks.cameras [MODEL ...] [--views 4] [--json FILE]

`exact` are the views' own keypoints, `simulated` what the simulated detector makes of them. Views are drawn as those of
pre-training are, of people who were in none.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from mixste.cameras import load_rig
from mixste.detector import detect, seeded
from mixste.scoring.protocols import PROTOCOLS, summary
from mixste.scoring.scores import score
from mixste.sequences import Sequences, read_sequences
from mixste.skeleton import load_skeleton
from pipelines.evaluation.scoring import predict
from pipelines.params import Params, load
from pipelines.places import MODELS, RECORDINGS, RIG, tables
from pipelines.tasks.projected import Task, project_file


def random_views(params: Params, count: int) -> Sequences:
    """Exact keypoints and joints of every test recording, as so many random cameras see each of its clips."""
    settings = replace(params.project, views=replace(params.project.views, count=count))
    skeleton, fps, rig = params.data.skeleton, params.data.fps, load_rig(params.project.rig.cameras)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "random").mkdir()
        for path in tables(RECORDINGS, params.data.split.test):
            project_file(Task(path, ("random",), folder, skeleton, fps, settings, rig, params.seed))
        return read_sequences(tables(folder / "random", params.data.split.test), skeleton=skeleton, fps=fps)


def detected(exact: Sequences, params: Params) -> Sequences:
    """The same with simulated detections, drawn anew for every clip and camera."""
    skeleton, keypoints = load_skeleton(exact.skeleton), exact.keypoints.clone()
    for number, names in enumerate(zip(exact.subjects, exact.clips, exact.cameras, strict=True)):
        frames = slice(int(exact.offsets[number]), int(exact.offsets[number + 1]))
        screen, depth = exact.keypoints[frames, :, :2].numpy(), exact.joints[frames, :, 2].numpy()
        rng, settings = seeded(params.seed, "cameras", *names), params.project.detector
        found = detect(screen, depth, skeleton=skeleton, fps=exact.fps, ratio=1.0, settings=settings, rng=rng)
        keypoints[frames] = torch.from_numpy(found)
    return replace(exact, keypoints=keypoints, detections="simulated")


def measure(models: list[Path], params: Params, count: int) -> Iterator[dict[str, str | float]]:
    """A row a model and kind of view: errors in mm, by the data set's protocol."""
    exact = random_views(params, count)
    rig = read_sequences(tables(RIG, params.data.split.test), skeleton=params.data.skeleton, fps=params.data.fps)
    kinds = {"rig, simulated": rig, "random, exact": exact, "random, simulated": detected(exact, params)}
    protocol = PROTOCOLS[params.data.protocol]
    for model in models:
        for kind, sequences in kinds.items():
            scores = score(predict(model, sequences, params), sequences, protocol.scoring)
            mean = summary(scores, protocol, params.data.split.apart)["mean"]
            yield {"model": str(model), "views": kind, "frames": sequences.frames, **mean}


def main() -> None:
    """Print a table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path, default=list(MODELS.values()), metavar="MODEL")
    parser.add_argument("--views", type=int, default=4, help="random cameras a clip (default: %(default)s)")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    rows = []
    print("| model | views | frames | MPJPE, mm | P-MPJPE, mm |\n|---|---|---|---|---|")
    for row in measure(chosen.models, load(), chosen.views):
        rows.append(row)
        errors = f"{row['mpjpe']:.1f} | {row['p_mpjpe']:.1f}"
        print(f"| {row['model']} | {row['views']} | {row['frames']} | {errors} |", flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
