"""`mixste size`: what a model costs."""

import argparse
from typing import Any

from mixste.commands.terminal import command, say, whole

HEAD = ("model", "T", "J", "parameters", "buffers", "linear MACs", "all MACs", "stage I parameters")


def add(commands: Any) -> None:
    """Describe the subcommand."""
    parser = command(
        commands,
        "size",
        "print a model's parameters and what a window costs it, in multiply-adds",
        "",
        "mixste size base pstmo stcformer_l --frames 27 81 243",
        "mixste size models/finetuned",
    )
    option = parser.add_argument
    option(
        "models", nargs="*", metavar="MODEL", help="a name in conf/model (default: all), a YAML file or a model folder"
    )
    option("--frames", type=whole, nargs="+", metavar="T", help="frames of a window, if not the model's own")
    option("--joints", type=whole, metavar="J", help="joints, if not the model folder's own or 17")
    option("--channels", type=whole, metavar="N", help="2 (x, y) or 3 (x, y, confidence), if not the model's own")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print a table, a row a model and length."""
    from dataclasses import astuple

    from mixste.costs import costs, known

    rows: list[tuple[str, ...]] = [HEAD]
    for model in options.models or known():
        for cost in costs(model, frames=options.frames, joints=options.joints, channels=options.channels):
            rows.append((model, *("-" if number is None else f"{number:,}" for number in astuple(cost))))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        say("  ".join([name.ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(cells, widths[1:], strict=True))]))
