"""`mixste export`: a model to a file that runs without this library."""

import argparse
from pathlib import Path
from typing import Any

from mixste.commands.terminal import command, say
from mixste.zoo import any_model


def add(commands: Any) -> None:
    """Describe the subcommand."""
    parser = command(
        commands,
        "export",
        "write a model as ONNX or as torch.export's .pt2, and prove that the file does what the model does",
        "The file is loaded again and compared;\nif it is off, there is no file. What its numbers mean stands in it.",
        "mixste export models:/mixste@champion -o mixste.onnx",
        "mixste export models/finetuned -o mixste.pt2 --precision bf16",
        "mixste export models/finetuned -o mixste-int8.onnx --precision int8 --data datasets/projections/rig",
    )
    option = parser.add_argument
    option("model", metavar="MODEL", help=any_model())
    option("-o", "--output", type=Path, metavar="FILE", required=True, help=".onnx or .pt2")
    option(
        "--precision",
        choices=("fp32", "bf16", "int8"),
        default="fp32",
        help="of the weights; int8 in .onnx only (default: %(default)s)",
    )
    option(
        "--data",
        type=Path,
        metavar="PATH",
        help="projections to measure the error on, a table or a folder of them (default: random keypoints)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Export, and print a line a fact; what cannot be written is refused before the model is fetched."""
    from mixste.exporting.export import export, format_of
    from mixste.lifting.source import model_folder
    from mixste.models.checkpoint import load_model

    format_of(options.output, options.precision)
    with model_folder(options.model) as folder:
        model, config = load_model(folder)
    report = export(model, config, options.output, precision=options.precision, data=options.data)
    say(*(f"{name:<8}  {text}" for name, text in report.lines()))
