"""`mixste lift`: a file of keypoints, or a video, to files of motion."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixste.commands.terminal import command, layouts, positive, progress, say, size
from mixste.errors import MixsteError
from mixste.registry import CHAMPION

if TYPE_CHECKING:
    from mixste.detections import Detections, Track
    from mixste.lifter import Lifter
    from mixste.lifting.camera import Intrinsics
    from mixste.motion import Motion


def add(commands: Any) -> None:
    """Describe the subcommand."""
    parser = command(
        commands,
        "lift",
        "lift a file of 2D keypoints, or a video, to 3D motion",
        "People are followed through the frames; what was mapped, filled or guessed is said.",
        "mixste lift openpose_json/ -o walk.bvh --fps 60 --image-size 1088x1920",
        "mixste lift alphapose-results.json -o walk.html -o walk.npz --fps 30 --image-size 1920x1080 --person all",
        "mixste lift clip.mp4 -o walk.bvh --weights weights/",
        "mixste lift clip.mp4 -o walk.bvh --detector my_detector:find --save-keypoints walk.parquet",
        "mixste lift keypoints.npz -o walk.bvh --model models/finetuned --smooth 6 --height 1.78 --ground",
        "mixste lift walk.parquet -o walk.npz --camera 1450,1450,960,540 --smooth-root 2",
    )
    option = parser.add_argument
    option(
        "input",
        type=Path,
        metavar="INPUT",
        help="a video; or OpenPose's folder, AlphaPose, COCO, MMPose JSON, npz, Parquet, DeepLabCut, SLEAP",
    )
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
    _add_video(parser)
    _add_result(parser)
    option("--device", default="auto", metavar="NAME", help="cpu, cuda or auto (default)")
    option("--precision", choices=("fp32", "bf16", "int8"), default="fp32", help="of the model (default: %(default)s)")
    option("--no-flip", dest="flip", action="store_false", help="do not average with the mirrored input: half the time")
    parser.set_defaults(run=run)


def _add_input(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument_group("what the input does not say").add_argument
    skeleton = option("--skeleton", metavar="NAME", help="layout of the keypoints, as body25, coco17, or its own .yaml")
    skeleton.completer = layouts  # type: ignore[attr-defined]
    option("--fps", type=positive, metavar="N", help="frames per second")
    option("--image-size", type=size, metavar="WxH", help="pixels of the video, as 1920x1080")
    option("--person", default="1", metavar="N|all", help="1: who is seen most (default); all: a file for each, FILE-N")
    option("--all-people", action="store_true", help="keep doubles, flickers and who stands still in the background")
    option("--threshold", type=float, metavar="C", help="confidence below which a keypoint is missing (default: 0.05)")


def _add_video(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument_group("people in a video").add_argument
    option(
        "--detector",
        default="rtmlib",
        metavar="NAME",
        help="rtmlib (default), rtmlib-light, rtmlib-large, or MODULE:NAME of your own",
    )
    option("--weights", type=Path, metavar="FOLDER", help="of rtmlib's weights (default: MIXSTE_WEIGHTS)")
    option(
        "--save-keypoints", type=Path, metavar="FILE", help="what was found, Parquet: to lift again without the video"
    )


def _add_result(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument_group("what becomes of the motion, in this order").add_argument
    option("--smooth", type=positive, metavar="HZ", help="take out what is faster, as 6")
    option("--height", type=positive, metavar="M", help="scale to a person of this height, metres")
    option(
        "--camera", metavar="CAMERA", help="find where the root was: FX,FY,CX,CY in pixels, a FILE of them, or 60deg"
    )
    option("--smooth-root", type=positive, metavar="HZ", help="the root's path, whose depth is noisy, as 2")
    option("--z-up", action="store_true", help="turn camera axes to Z up; the camera is taken to be level")
    option("--ground", action="store_true", help="Z up, feet on the floor and still while they stand")


def run(options: argparse.Namespace) -> None:
    """Lift the people asked for and write every file; what will not work is refused before the lifting."""
    from mixste.detections import tracks
    from mixste.motion_files import writer_of
    from mixste.video import is_video

    for path in options.output:
        writer_of(path)
    video = is_video(options.input)
    lifter = _lifter(options)
    found = _watched(options) if video else _read(options)
    if options.save_keypoints:
        _keep(found, options.save_keypoints)
    fps = _known(found.fps, options.input, "frame rate", "--fps, as --fps 30")
    image_size = _known(found.image_size, options.input, "image size", "--image-size, as --image-size 1920x1080")
    camera = _camera(options, image_size)
    say(*found.report)
    people = tracks(found, fps=fps)
    chosen = _chosen(people, fps, options)
    say(f"{len(people)} people; lifting {', '.join(track.name for track in chosen)}")
    for track in chosen:
        motion = _finished(_lift(lifter, track, fps, image_size, options), track, camera, options)
        say(*(f"{track.name}: {sentence}" for sentence in motion.report))
        for path in options.output:
            own = path if options.person != "all" else path.with_stem(f"{path.stem}-{track.name.split()[-1]}")
            say(f"{track.name}: {len(motion.joints)} frames from frame {track.first} on -> {_save(own, motion, track)}")


def _lifter(options: argparse.Namespace) -> "Lifter":
    from mixste.lifter import Lifter

    lifter = Lifter.load(options.model, flip=options.flip, device=options.device, precision=options.precision)
    if options.smooth_root and not options.camera:
        raise MixsteError("the root has no path", found="--smooth-root without --camera", mend="give --camera")
    if options.camera and lifter.config.unit != "m" and not options.height:
        found = f"a model that gives {lifter.config.unit} units, not metres"
        raise MixsteError(
            "cannot find where the root was", found=found, mend="say how tall the person is, --height 1.75"
        )
    return lifter


def _read(options: argparse.Namespace) -> "Detections":
    from mixste.detections import read_detections

    return read_detections(options.input, skeleton=options.skeleton, image_size=options.image_size, fps=options.fps)


def _watched(options: argparse.Namespace) -> "Detections":
    from mixste.video import load_detector, read_video

    return read_video(
        options.input,
        load_detector(options.detector, weights=options.weights, device=options.device),
        skeleton=options.skeleton,
        image_size=options.image_size,
        fps=options.fps,
        tell=progress("detecting"),
    )


def _keep(found: "Detections", path: Path) -> None:
    from mixste.detections.formats.parquet import write_detections

    write_detections(path, found)
    say(f"keypoints -> {path}")


def _known(value: Any, source: Path, what: str, mend: str) -> Any:
    if value is None:
        raise MixsteError(f"cannot lift {source}", found=f"no {what} in it", mend=f"give {mend}")
    return value


def _camera(options: argparse.Namespace, image_size: tuple[int, int]) -> "Intrinsics | None":
    from mixste.lifting.camera import read_camera

    if not options.camera:
        return None
    intrinsics, said = read_camera(options.camera, image_size)
    say(*said)
    return intrinsics


def _chosen(people: "list[Track]", fps: float, options: argparse.Namespace) -> "list[Track]":
    """Return who is to be lifted, and say who is left out; numbers are those of all."""
    from mixste.detections import ghosts

    left_out = {} if options.all_people else ghosts(people, fps)
    say(*(f"{why} (--all-people keeps them)" for why in left_out.values()))
    kept = [track for track in people if track.name not in left_out]
    if options.person == "all":
        return kept
    named = [track for track in kept if track.name == f"person {options.person}"]
    if not named:
        numbers = ", ".join(track.name.split()[-1] for track in kept)
        raise MixsteError(
            "there is no such person to lift", found=f"--person {options.person}", expected=f"{numbers} or all"
        )
    return named


def _lift(
    lifter: "Lifter", track: "Track", fps: float, image_size: tuple[int, int], options: argparse.Namespace
) -> "Motion":
    return lifter.lift(
        track.keypoints,
        skeleton=track.skeleton,
        fps=fps,
        image_size=image_size,
        threshold=_threshold(options),
        tell=progress(track.name),
    )


def _threshold(options: argparse.Namespace) -> float:
    from mixste.lifter import THRESHOLD

    return THRESHOLD if options.threshold is None else float(options.threshold)


def _finished(motion: "Motion", track: "Track", camera: "Intrinsics | None", options: argparse.Namespace) -> "Motion":
    from mixste.lifting.camera import pixels_of

    if options.smooth:
        motion = motion.smoothed(options.smooth)
    if options.height:
        motion = motion.scaled(options.height)
    if camera:
        pixels = pixels_of(track.keypoints, track.skeleton, motion.skeleton, _threshold(options))
        motion = motion.located(pixels, camera, smooth_hz=options.smooth_root)
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
