"""`mixste lift`: a file of keypoints, or a video, to files of motion."""

import argparse
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixste.commands.lift_options import add_options, check, check_cutoffs, check_places, threshold
from mixste.commands.terminal import command, progress, say
from mixste.errors import MixsteError, counted

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
        "mixste lift openpose_json/ -o walk.bvh --fps 60 --image-size 1088x1920 --model cmu-small",
        "mixste lift alphapose-results.json -o walk.html -o walk.npz --fps 30 --image-size 1920x1080 --person all",
        "mixste lift clip.mp4 -o walk.bvh --weights weights/",
        "mixste lift clip.mp4 -o walk.bvh --detector my_detector:find --save-keypoints walk.parquet",
        "mixste lift keypoints.npz -o walk.bvh --model models/finetuned --smooth 6 --height 1.78 --ground",
        "mixste lift walk.parquet -o walk.npz --camera 1450,1450,960,540 --smooth-root 2",
    )
    add_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Lift the people asked for and write every file; what will not work is refused as soon as that can be known."""
    from mixste.detections import tracks
    from mixste.machine.memory import keep_freed
    from mixste.video import is_video

    keep_freed()
    check(options)
    video = is_video(options.input)
    lifter = _lifter(options)
    found = _watched(options) if video else _read(options)
    if options.save_keypoints:
        _keep(found, options.save_keypoints)
    fps, image_size = _known(found, options.input)
    check_cutoffs(options, fps)
    camera, of_camera = _camera(options, image_size)
    say(*of_camera, *found.report)
    people = tracks(found, fps=fps)
    chosen, left_out = _chosen(people, fps, options)
    say(f"{counted(len(people), 'person')}; lifting {', '.join(track.name for track in chosen)}")
    for track in chosen:
        check_places(options, _outputs(track, options))
    for track in chosen:
        motion = _begun(_finished(_lift(lifter, track, fps, image_size, options), track, camera, options), track)
        say(*(f"{track.name}: {sentence}" for sentence in motion.report))
        motion = _preceded(motion, *found.report, *left_out, *of_camera)
        for path in _outputs(track, options):
            frames = counted(len(motion.joints), "frame")
            say(f"{track.name}: {frames} from frame {track.first} on -> {_save(path, motion, track)}")


def _lifter(options: argparse.Namespace) -> "Lifter":
    from mixste.lifter import Lifter

    with _enough_memory(options):
        lifter = Lifter.load(options.model, flip=options.flip, device=options.device, precision=options.precision)
    armatures = [path for path in options.output if path.suffix.lower() == ".bvh"]
    if armatures:
        from mixste.armature.rest import load_rest

        load_rest(lifter.config.skeleton)
    if lifter.config.unit != "m" and not options.height and (options.camera or armatures):
        what = "cannot find where the root was" if options.camera else f"cannot write {armatures[0]}"
        found = f"a model that gives {lifter.config.unit} units, not metres"
        raise MixsteError(what, found=found, mend="say how tall the person is, --height 1.75")
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


def _known(found: "Detections", source: Path) -> tuple[float, tuple[int, int]]:
    """Return the frame rate and the image size; MixsteError names what is missing, both where neither is known."""
    if found.fps is not None and found.image_size is not None:
        return found.fps, found.image_size
    missing = {"no frame rate": "--fps 30"} if found.fps is None else {}
    missing |= {"no image size": "--image-size 1920x1080"} if found.image_size is None else {}
    what, mend = f"{' and '.join(missing)} in it", f"give what is missing, as {' '.join(missing.values())}"
    raise MixsteError(f"cannot lift {source}", found=what, mend=mend)


def _camera(options: argparse.Namespace, image_size: tuple[int, int]) -> "tuple[Intrinsics | None, tuple[str, ...]]":
    from mixste.lifting.camera import read_camera

    return read_camera(options.camera, image_size) if options.camera else (None, ())


def _chosen(people: "list[Track]", fps: float, options: argparse.Namespace) -> "tuple[list[Track], list[str]]":
    """Return who is to be lifted, and sentences on who is left out, which are said; numbers are those of all."""
    from mixste.detections import ghosts

    left_out = {} if options.all_people else ghosts(people, fps)
    kept = [track for track in people if track.name not in left_out]
    named = [track for track in kept if options.person in ("all", _number(track))]
    if not named:
        why = left_out.get(f"person {options.person}")
        raise MixsteError(
            "there is no such person to lift",
            found=f"--person {options.person}" + (f", but {why}" if why else ""),
            expected=f"{', '.join(map(_number, kept))} or all",
            mend="keep everyone: --all-people" if why else None,
        )
    say(*(f"{why} (--all-people keeps them)" for why in left_out.values()))
    return named, list(left_out.values())


def _number(track: "Track") -> str:
    return track.name.split()[-1]


def _outputs(track: "Track", options: argparse.Namespace) -> list[Path]:
    """Return where a person's files go; of all people, each has its own."""
    if options.person != "all":
        return list(options.output)
    return [path.with_stem(f"{path.stem}-{_number(track)}") for path in options.output]


def _lift(
    lifter: "Lifter", track: "Track", fps: float, image_size: tuple[int, int], options: argparse.Namespace
) -> "Motion":
    with _enough_memory(options):
        return lifter.lift(
            track.keypoints,
            skeleton=track.skeleton,
            fps=fps,
            image_size=image_size,
            threshold=threshold(options),
            tell=progress(track.name),
        )


def _enough_memory(options: argparse.Namespace) -> AbstractContextManager:
    import torch

    from mixste.machine.hardware import enough_memory

    on_gpu = options.device != "cpu" and torch.cuda.is_available()
    mend = "end what else takes that memory" + (", or lift with --device cpu" if on_gpu else "")
    return enough_memory(f"{options.model} and its windows", mend)


def _finished(motion: "Motion", track: "Track", camera: "Intrinsics | None", options: argparse.Namespace) -> "Motion":
    from mixste.lifting.camera import pixels_of

    if options.smooth:
        motion = motion.smoothed(options.smooth)
    if options.height:
        motion = motion.scaled(options.height)
    if camera:
        pixels = pixels_of(track.keypoints, track.skeleton, motion.skeleton, threshold(options))
        motion = motion.located(pixels, camera, smooth_hz=options.smooth_root)
    if options.z_up or options.ground:
        motion = motion.z_up()
    return motion.grounded() if options.ground else motion


def _begun(motion: "Motion", track: "Track") -> "Motion":
    """Say in a motion's report, first, when it begins, unless with the input."""
    if not track.first:
        return motion
    begins = f"Begins at frame {track.first} ({track.first / motion.fps:.3f} s) of the input."
    return _preceded(motion, begins)


def _preceded(motion: "Motion", *sentences: str) -> "Motion":
    """Return a motion whose report begins with more sentences."""
    from dataclasses import replace

    return replace(motion, report=(*sentences, *motion.report))


def _save(path: Path, motion: "Motion", track: "Track") -> Path:
    if path.suffix.lower() != ".html":
        return motion.save(path)
    from mixste.viewer import write_html

    return write_html(
        path, motion, keypoints=track.keypoints, keypoint_skeleton=track.skeleton, title=f"{path.stem}: {track.name}"
    )
