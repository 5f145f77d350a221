"""Write a model's file, read it back, compare, and keep it only if it does what the model does."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Protocol

from torch import Tensor

from mixste.errors import MixsteError
from mixste.exporting.facts import describe
from mixste.exporting.parity import Distance, Run, distance, every_size, random_windows, read_windows
from mixste.exporting.report import Report
from mixste.exporting.speed import batch, frames_per_second
from mixste.files.whole import whole_file
from mixste.inference import lift
from mixste.models import PoseModel
from mixste.models.checkpoint import ModelConfig

ENDINGS = (".onnx", ".pt2")
RANDOM = 16  # windows, where there are no data


class Writer(Protocol):
    """A model's files, of any precision."""

    def write(self, path: Path, facts: dict[str, Any]) -> None:
        """Write the file of the precision that its facts say."""


class Format(NamedTuple):
    """What writes a kind of file, in which precisions, and what reads one to run it."""

    precisions: tuple[str, ...]
    writer: Callable[[PoseModel], Writer]
    runner: Callable[[Path], Run]


@dataclass(frozen=True)
class Limit:
    """How far from the model a file may be, mm or thousandths of its unit, by the mean or at most."""

    of: str
    value: float

    def holds(self, apart: Distance) -> bool:
        """Say whether this is near enough; NaN is not."""
        return getattr(apart, self.of) <= self.value

    def __str__(self) -> str:
        return f"{'at most' if self.of == 'most' else 'mean'} {self.value:g}"


LIMITS = {"fp32": Limit("most", 0.05), "bf16": Limit("mean", 10.0), "int8": Limit("mean", 25.0)}


def export(
    model: PoseModel, config: ModelConfig, path: Path, *, precision: str = "fp32", data: Path | None = None
) -> Report:
    """Write a lifter as `.onnx` or `.pt2` and return how far from it the file is, and how fast.

    The file is loaded again and compared with the model on keypoints of several lengths and in several batches, and on
    windows of `data`, projections as `datasets/projections/rig`, where given. MixsteError, and no file, if it is too
    far off, if the ending or precision is none that can be written, or a package is missing.
    """
    form = format_of(path, precision)
    windows = random_windows(model, RANDOM, config.model.frames) if data is None else read_windows(config, data)
    with whole_file(path) as file:
        writer = form.writer(model)
        writer.write(file, describe(config, precision))
        run = form.runner(file)
        parity = _within(LIMITS[precision], run, model, [*every_size(model)], f"{precision} in {path}")
        error = _within(LIMITS[precision], run, model, [*windows.split(8)], f"{precision} in {path}")
        plain = run if precision == "fp32" else _plain(form, writer, config)
        speeds = frames_per_second({"model": partial(lift, model), "fp32": plain, precision: run}, batch(model))
    return Report(
        path=path,
        facts=describe(config, precision),
        parity=parity,
        error=error,
        allowed=str(LIMITS[precision]),
        windows=f"{len(windows)} {'random windows' if data is None else f'windows of {data}'}",
        speeds=speeds,
    )


def format_of(path: Path, precision: str) -> Format:
    """Return what writes files of this ending; MixsteError if nothing does, or not in this precision."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise MixsteError(f"cannot export to {path}", found=ending or "no ending", expected=" or ".join(ENDINGS))
    form = _torch_file() if ending == ".pt2" else _onnx_file()
    if precision not in form.precisions:
        mend = "export int8 to .onnx: torch's own quantisation cannot be exported" if precision == "int8" else None
        expected = ", ".join(form.precisions)
        raise MixsteError(f"no such precision in {ending} files", found=precision, expected=expected, mend=mend)
    return form


def _torch_file() -> Format:
    from mixste.exporting import torch_file

    return Format(torch_file.PRECISIONS, torch_file.Writer, torch_file.Runner)


def _onnx_file() -> Format:
    try:
        import onnxscript  # noqa: F401  (torch's exporter needs it)

        from mixste.exporting import onnx_file
    except ImportError as error:
        raise MixsteError(
            "cannot export to ONNX", found=f"no package {error.name}", mend="pip install 'mixste[export]'"
        ) from None
    return Format(onnx_file.PRECISIONS, onnx_file.Writer, onnx_file.Runner)


def _within(limit: Limit, run: Run, model: PoseModel, batches: list[Tensor], what: str) -> Distance:
    apart = distance(run, model, batches)
    if not limit.holds(apart):
        raise MixsteError(
            f"{what} is too far from the model and was not kept",
            found=f"mean {apart.mean:.3g}, at most {apart.most:.3g} thousandths of the model's unit",
            expected=str(limit),
        )
    return apart


def _plain(form: Format, writer: Writer, config: ModelConfig) -> Run:
    """Return the float32 file's program, which a variant's speed is measured beside."""
    with TemporaryDirectory(prefix="mixste-") as place:
        path = Path(place) / "fp32"
        writer.write(path, describe(config, "fp32"))
        return form.runner(path)
