"""`mixste lift`: a file of keypoints to files of motion."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixste.commands.terminal import command, layouts, positive, progress, say, size
from mixste.errors import MixsteError
from mixste.registry import CHAMPION

if TYPE_CHECKING:
    from mixste.detections import Track
    from mixste.lifter import Lifter
    from mixste.motion import Motion


def add(commands: Any) -> None:
    """Describe the subcommand."""
    parser = command(
        commands,
        "lift",
        "lift a file of 2D keypoints to 3D motion",
        "People are followed through the frames; what was mapped, filled or guessed is said.",
        "mixste lift openpose_json/ -o walk.bvh --fps 60 --image-size 1088x1920",
        "mixste lift alphapose-results.json -o walk.html -o walk.npz --fps 30 --image-size 1920x1080 --person all",
        "mixste lift keypoints.npz -o walk.bvh --model models/finetuned --smooth 6 --height 1.78 --ground",
    )
    option = parser.add_argument
    option("input", type=Path, metavar="INPUT", help="OpenPose's folder, AlphaPose, COCO or MMPose JSON, npz, Parquet")
    option(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        action="append",
        required=True,
        help=".bvh .npz .csv .parquet .html .mp4 or .gif, as often as wanted",
    )
    option(
        "--model",
        default=CHAMPION,
        help="models:/NAME@ALIAS, a model folder or an official checkpoint (default: %(default)s)",
    )
    _add_input(parser)
    _add_result(parser)
    option("--device", default="auto", metavar="NAME", help="cpu, cuda or auto (default)")
    option("--precision", choices=("fp32", "bf16"), default="fp32", help="of the model (default: %(default)s)")
    option("--no-flip", dest="flip", action="store_false", help="do not average with the mirrored input: half the time")
    parser.set_defaults(run=run)


def _add_input(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument_group("what the input does not say").add_argument
    skeleton = option("--skeleton", metavar="NAME", help="layout of the keypoints, as body25, coco17, halpe26")
    skeleton.completer = layouts  # type: ignore[attr-defined]
    option("--fps", type=positive, metavar="N", help="frames per second")
    option("--image-size", type=size, metavar="WxH", help="pixels of the video, as 1920x1080")
    option("--person", default="1", metavar="N|all", help="1: who is seen most (default); all: a file for each, FILE-N")
    option("--threshold", type=float, metavar="C", help="confidence below which a keypoint is missing (default: 0.05)")


def _add_result(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument_group("what becomes of the motion, in this order").add_argument
    option("--smooth", type=positive, metavar="HZ", help="take out what is faster, as 6")
    option("--height", type=positive, metavar="M", help="scale to a person of this height, metres")
    option("--z-up", action="store_true", help="turn camera axes to Z up; the camera is taken to be level")
    option("--ground", action="store_true", help="Z up, feet on the floor and still while they stand")


def run(options: argparse.Namespace) -> None:
    """Lift the people asked for and write every file; what will not work is refused before the lifting."""
    from mixste.detections import read_detections, tracks
    from mixste.motion_files import writer_of

    for path in options.output:
        writer_of(path)
    found = read_detections(options.input, skeleton=options.skeleton, image_size=options.image_size, fps=options.fps)
    fps = _known(found.fps, options.input, "frame rate", "--fps, as --fps 30")
    image_size = _known(found.image_size, options.input, "image size", "--image-size, as --image-size 1920x1080")
    say(*found.report)
    people = tracks(found, fps=fps)
    chosen = _chosen(people, options.person)
    say(f"{len(people)} people; lifting {', '.join(track.name for track in chosen)}")
    lifter = _lifter(options)
    for track in chosen:
        motion = _lift(lifter, track, fps, image_size, options)
        say(*(f"{track.name}: {sentence}" for sentence in motion.report))
        for path in options.output:
            own = path if options.person != "all" else path.with_stem(f"{path.stem}-{track.name.split()[-1]}")
            say(f"{track.name}: {len(motion.joints)} frames from frame {track.first} on -> {_save(own, motion, track)}")


def _known(value: Any, source: Path, what: str, mend: str) -> Any:
    if value is None:
        raise MixsteError(f"cannot lift {source}", found=f"no {what} in it", mend=f"give {mend}")
    return value


def _chosen(people: "list[Track]", person: str) -> "list[Track]":
    if person == "all":
        return people
    if not person.isdecimal() or int(person) not in range(1, len(people) + 1):
        raise MixsteError("there is no such person", found=f"--person {person}", expected=f"1 to {len(people)}, or all")
    return [people[int(person) - 1]]


def _lifter(options: argparse.Namespace) -> "Lifter":
    from mixste.lifter import Lifter

    return Lifter.load(options.model, flip=options.flip, device=options.device, precision=options.precision)


def _lift(
    lifter: "Lifter", track: "Track", fps: float, image_size: tuple[int, int], options: argparse.Namespace
) -> "Motion":
    from mixste.lifter import THRESHOLD

    motion = lifter.lift(
        track.keypoints,
        skeleton=track.skeleton,
        fps=fps,
        image_size=image_size,
        threshold=THRESHOLD if options.threshold is None else options.threshold,
        tell=progress(track.name),
    )
    if options.smooth:
        motion = motion.smoothed(options.smooth)
    if options.height:
        motion = motion.scaled(options.height)
    if options.z_up or options.ground:
        motion = motion.z_up()
    return motion.grounded() if options.ground else motion


def _save(path: Path, motion: "Motion", track: "Track") -> Path:
    if path.suffix.lower() != ".html":
        return motion.save(path)
    from mixste.viewer import write_html

    return write_html(
        path, motion, keypoints=track.keypoints, keypoint_skeleton=track.skeleton, title=f"{path.stem}: {track.name}"
    )
