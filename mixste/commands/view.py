"""`mixste view`: a motion file as a page for the browser."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mixste.commands.terminal import command, say
from mixste.errors import MixsteError

if TYPE_CHECKING:
    from mixste.motion import Motion


def add(commands: Any) -> None:
    """Describe the subcommand."""
    parser = command(
        commands,
        "view",
        "make a page of a motion that any browser opens: turn it, play it, compare it",
        "The page is one file and needs no network.",
        "mixste view walk.npz --open",
        "mixste view lifted.parquet -o compared.html --truth measured.parquet",
    )
    option = parser.add_argument
    option("file", type=Path, metavar="FILE", help="a motion that `mixste lift` wrote: .npz, .parquet or .csv")
    option("-o", "--output", type=Path, metavar="PAGE", help="where to write (default: FILE with the ending .html)")
    option("--truth", type=Path, metavar="FILE", help="a motion of the same frames to lay over it, with the errors")
    option("--title", default="", help="the page's heading (default: the file's name)")
    option("--open", action="store_true", help="open the page in the browser")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Write the page; MixsteError for a file that is no motion, or a ground truth that is of another kind."""
    from mixste.motion import Motion
    from mixste.viewer.page import write_html

    motion = Motion.load(options.file)
    truth = None if options.truth is None else Motion.load(options.truth)
    if truth is not None:
        _refuse_other(motion, truth)
    page = options.output or options.file.with_suffix(".html")
    joints = None if truth is None else truth.joints
    write_html(page, motion, truth=joints, title=options.title or options.file.stem)
    say(f"written to {page}")
    if options.open:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())


def _refuse_other(motion: "Motion", truth: "Motion") -> None:
    """Raise MixsteError unless two motions have the same joints, axes and unit, at the same rate."""
    names = ("skeleton", "frame", "unit", "fps")
    pairs = {name: (getattr(truth, name), getattr(motion, name)) for name in names}
    wrong = [f"{name} {own}, not {wanted}" for name, (own, wanted) in pairs.items() if own != wanted]
    if wrong:
        raise MixsteError("this ground truth is of another motion", found="; ".join(wrong), expected="the same")
