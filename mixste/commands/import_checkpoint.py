"""`mixste import-checkpoint`: the authors' weights to a model folder."""

import argparse
from pathlib import Path
from typing import Any

from mixste.commands.terminal import command, layouts, positive, say, whole


def add(commands: Any) -> None:
    """Describe the subcommand."""
    parser = command(
        commands,
        "import-checkpoint",
        "make a model folder of an official checkpoint of MixSTE, P-STMO or STCFormer",
        "The file is recognised by its weights and checked; nothing in it is executed.",
        "mixste import-checkpoint best_epoch.bin --output models/mixste",
        "mixste import-checkpoint stcformer_27.pth --frames 27",
    )
    option = parser.add_argument
    option("file", type=Path, metavar="FILE", help="as the authors' code writes it: .bin or .pth")
    option("--output", type=Path, metavar="FOLDER", help="where to write (default: FILE without its ending)")
    skeleton = option("--skeleton", metavar="NAME", help="if not the published one, as mpi17 for P-STMO on 3DHP")
    skeleton.completer = layouts  # type: ignore[attr-defined]
    option("--frames", type=whole, metavar="T", help="frames of a window, for STCFormer (default: 81)")
    option("--fps", type=positive, metavar="N", help="frames per second that it is for, if not the published ones")
    option("--trust", action="store_true", help="let the file run code, which a pickle can hold")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Import the file and say what it was found to be."""
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
    say(
        f"{made.network}: {model.frames} frames, {config.joints} joints ({config.skeleton}), {config.fps:g} fps, "
        f"{model.channels} channels, width {model.width}, depth {model.depth}",
        "not in the file, taken as published: " + ", ".join(f"{key} {value}" for key, value in assumed.items()),
        f"licence: {config.provenance['licence']}",
        f"written to {folder}" + ("" if config.kind == "lifter" else ": fine-tune from it, it does not lift"),
    )
