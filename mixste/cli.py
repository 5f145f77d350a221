"""The command `mixste`: one subcommand a job, one clear message for a user's error."""

import argparse
import math
import sys
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

from mixste.errors import MixsteError

HEAD = ("model", "T", "J", "parameters", "buffers", "linear MACs", "all MACs", "stage I parameters")

# Each subcommand imports what it needs when it runs: `mixste --help` does not wait for torch.


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a subcommand; a MixsteError ends it with its message on stderr and exit status 1, without a traceback."""
    parser = argparse.ArgumentParser(prog="mixste", description="Models that lift 2D keypoints to 3D human motion.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_import(commands)
    _add_size(commands)
    options = parser.parse_args(arguments)
    try:
        options.run(options)
    except MixsteError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(1) from None


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return rate


def _add_import(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "make a model folder of an official checkpoint of MixSTE, P-STMO or STCFormer"
    parser = commands.add_parser("import-checkpoint", help=text, description=text[0].upper() + text[1:] + ".")
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help="as the authors' code writes it: .bin or .pth")
    add("--output", type=Path, metavar="FOLDER", help="where to write (default: FILE without its ending)")
    add("--skeleton", metavar="NAME", help="if not the published one, as mpi17 for P-STMO on 3DHP")
    add("--frames", type=_positive, metavar="T", help="frames of a window, for STCFormer (default: 81)")
    add("--fps", type=_rate, metavar="N", help="frames per second that it is for, if not the published ones")
    add("--trust", action="store_true", help="let the file run code, which a pickle can hold")
    parser.set_defaults(run=_import_checkpoint)


def _import_checkpoint(options: argparse.Namespace) -> None:
    from mixste.official.importing import import_checkpoint

    folder = options.output or options.file.with_suffix("")
    made = import_checkpoint(
        options.file,
        folder,
        skeleton=options.skeleton,
        frames=options.frames,
        fps=options.fps,
        trust=options.trust,
    )
    config, model, assumed = made.config, made.config.model, made.config.provenance["assumed"]
    _say(
        f"{made.network}: {model.frames} frames, {config.joints} joints ({config.skeleton}), {config.fps:g} fps, "
        f"{model.channels} channels, width {model.width}, depth {model.depth}",
        "not in the file, taken as published: " + ", ".join(f"{key} {value}" for key, value in assumed.items()),
        f"licence: {config.provenance['licence']}",
        f"written to {folder}" + ("" if config.kind == "lifter" else ": fine-tune from it, it does not lift"),
    )


def _add_size(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "print a model's parameters and what a window costs it, in multiply-adds"
    parser = commands.add_parser("size", help=text, description=text[0].upper() + text[1:] + ".")
    add = parser.add_argument
    add("models", nargs="*", metavar="MODEL", help="a name in conf/model (default: all), a YAML file or a model folder")
    add("--frames", type=_positive, nargs="+", metavar="T", help="frames of a window, if not the model's own")
    add("--joints", type=_positive, metavar="J", help="joints, if not the model folder's own or 17")
    add("--channels", type=_positive, metavar="N", help="2 (x, y) or 3 (x, y, confidence), if not the model's own")
    parser.set_defaults(run=_size)


def _size(options: argparse.Namespace) -> None:
    from mixste.costs import costs, known

    rows: list[tuple[str, ...]] = [HEAD]
    for model in options.models or known():
        for cost in costs(model, frames=options.frames, joints=options.joints, channels=options.channels):
            rows.append((model, *("-" if number is None else f"{number:,}" for number in astuple(cost))))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        _say("  ".join([name.ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(cells, widths[1:], strict=True))]))


if __name__ == "__main__":
    main()
