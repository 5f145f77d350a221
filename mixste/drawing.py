"""Figures from numbers: learning curves, errors per action and joint, by labels and by cost, and a clip that moves.

Every function takes arrays and a path and writes a file whose bytes depend on what is drawn alone. Lengths shown are
millimetres. `note` says under a title what the numbers rest on: simulated detections, synthetic motion.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mixste.files.whole import whole_file
from mixste.skeleton import Skeleton

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

# Okabe and Ito's colours, told apart by the colour-blind; markers and line styles tell them apart in grey.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
LEFT, RIGHT, MIDDLE = "#0072B2", "#D55E00", "#444444"

Histories = Mapping[str, Mapping[str, Sequence[float]]]
Table = Mapping[str, Mapping[str, float]]


def learning_curves(
    histories: Histories, path: Path, *, column: str = "validation_mpjpe", x: str = "epoch", note: str = ""
) -> None:
    """Draw `column` of each named history against `x`; the best point of each is marked. Errors are millimetres."""
    with _figure(path, 7.0, 4.2) as figure:
        axes = _axes(figure, "Validation error while training", note)
        for index, (name, history) in enumerate(histories.items()):
            steps, errors = np.asarray(history[x], dtype=float), np.asarray(history[column], dtype=float)
            colour = COLOURS[index % len(COLOURS)]
            (line,) = axes.plot(steps, errors, color=colour, marker=MARKERS[index % len(MARKERS)], markersize=3.5)
            line.set_label(name)
            if np.isfinite(errors).any():
                best = int(np.nanargmin(errors))
                axes.plot(steps[best], errors[best], "o", color=colour, markersize=10, fillstyle="none")
                line.set_label(f"{name}, best {errors[best]:.1f}")
        axes.set(xlabel=x.replace("_", " "), ylabel="MPJPE (mm)")
        axes.locator_params(axis="x", integer=True)
        axes.margins(y=0.12)
        axes.legend(frameon=False)


def per_action(table: Table, path: Path, *, measure: str = "MPJPE", note: str = "") -> None:
    """Draw horizontal bars of {model: {action: error in mm}}, the largest error on top."""
    _bars(table, path, f"{measure} per action", f"{measure} (mm)", note, ordered=True)


def per_joint(table: Table, path: Path, *, measure: str = "MPJPE", note: str = "") -> None:
    """Draw horizontal bars of {model: {joint: error in mm}}, in the order of the joints."""
    _bars(table, path, f"{measure} per joint", f"{measure} (mm)", note, ordered=False)


def label_efficiency(rows: Sequence[Mapping[str, Any]], path: Path, *, note: str = "") -> None:
    """Draw test error against labels: rows have `labels`, `arm`, `mpjpe` (mm); seeds are dots, their mean a line."""
    labels = list(dict.fromkeys(str(row["labels"]) for row in rows))
    with _figure(path, 7.0, 4.2) as figure:
        axes = _axes(figure, "Test error by the labels used", note)
        for index, arm in enumerate(dict.fromkeys(str(row["arm"]) for row in rows)):
            points = [(labels.index(str(row["labels"])), float(row["mpjpe"])) for row in rows if row["arm"] == arm]
            means = {at: np.mean([error for place, error in points if place == at]) for at, _ in sorted(points)}
            style: dict[str, Any] = {"color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}
            axes.plot(list(means), list(means.values()), label=arm, markersize=7, **style)
            axes.plot(*zip(*points, strict=True), linestyle="none", markersize=4, alpha=0.5, **style)
        axes.set(xlabel="labels used in fine-tuning", ylabel="test MPJPE (mm)")
        axes.set_xticks(range(len(labels)), labels)
        axes.margins(x=0.12, y=0.15)
        axes.legend(frameon=False)


def pareto(
    rows: Sequence[Mapping[str, Any]], path: Path, *, costs: Mapping[str, str], unit: str = "mm", note: str = ""
) -> None:
    """Draw `validation_mpjpe` against each of `costs` (key: what it is called), the trials' numbers beside the dots.

    A row says in `on_KEY` whether nothing is both as cheap and as good; a line joins those. Trials that were not
    trained to their end (`early`) are hollow.
    """
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    with _figure(path, 5.0 * len(costs), 4.4) as figure:
        for part, (key, name) in zip(figure.subfigures(1, len(costs), squeeze=False)[0], costs.items(), strict=True):
            axes = _axes(part, f"Validation error by {name}", note)
            front = sorted((row[key], row["validation_mpjpe"]) for row in rows if row[f"on_{key}"])
            axes.step(*zip(*front, strict=True), where="post", color=COLOURS[0], linewidth=1.2, label="Pareto front")
            for row in rows:
                colour, at = COLOURS[0 if row[f"on_{key}"] else 1], (row[key], row["validation_mpjpe"])
                axes.plot(*at, "o", color=colour, markersize=6, fillstyle="none" if row["early"] else "full")
                axes.annotate(str(row["trial"]), at, (0, -14), **_BESIDE, color=colour)
            for style, label in (("full", "trained to the end"), ("none", "stopped early")):
                axes.plot([], [], "o", color=COLOURS[1], markersize=6, fillstyle=style, label=label)
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.xaxis.set_major_formatter(EngFormatter(sep=""))
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.set(xlabel=name, ylabel=f"validation MPJPE ({unit})")
            axes.margins(0.1)
            axes.legend(frameon=False, fontsize=8)


def clip_gif(
    keypoints: np.ndarray,
    predicted: np.ndarray,
    truth: np.ndarray,
    skeleton: Skeleton,
    path: Path,
    *,
    fps: float,
    title: str = "",
    note: str = "",
    shown_fps: float = 12.5,
) -> None:
    """Animate 2D input (t j 2+; screen, y down) beside prediction and truth (t j 3; camera axes, metres) as a GIF.

    Poses are shown relative to the root and turned by 40 degrees, so that depth, which lifting adds, can be judged.
    """
    from PIL import Image

    step = max(1, round(fps / shown_fps))
    flat = np.asarray(keypoints, dtype=float)[::step, :, :2] * (1, -1)
    solid = [turned(np.asarray(pose)[::step], skeleton.root, degrees=40.0) for pose in (predicted, truth)]
    wrong = _centred(predicted, skeleton.root) - _centred(truth, skeleton.root)
    errors = 1000 * np.linalg.norm(wrong, axis=-1).mean(axis=-1)[::step]
    panels = {"2D input": flat, "prediction": solid[0], "ground truth": solid[1]}
    images = [
        Image.fromarray(image).quantize(48, dither=Image.Dither.NONE)
        for image in frames(panels, [f"MPJPE {error:.0f} mm" for error in errors], skeleton, title, note)
    ]
    with whole_file(path) as partial:
        images[0].save(
            partial,
            format="GIF",
            save_all=True,
            append_images=images[1:],
            duration=round(1000 * step / fps),
            loop=0,
            optimize=True,
        )


_BESIDE: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 8}


def _bars(table: Table, path: Path, title: str, unit: str, note: str, *, ordered: bool) -> None:
    """Draw {model: {group: value}} as groups of horizontal bars with their values; the first group is on top."""
    groups = list(dict.fromkeys(group for row in table.values() for group in row))
    if ordered:
        groups.sort(key=lambda group: -max(row.get(group, 0.0) for row in table.values()))
    width = 0.8 / max(len(table), 1)
    with _figure(path, 7.0, 1.4 + len(groups) * (0.12 + 0.17 * len(table))) as figure:
        axes = _axes(figure, title, note)
        for index, (model, row) in enumerate(table.items()):
            places = np.arange(len(groups)) + (index - (len(table) - 1) / 2) * width
            values = [row.get(group, np.nan) for group in groups]
            bars = axes.barh(places, values, width * 0.9, color=COLOURS[index % len(COLOURS)], label=model)
            axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=7)
        axes.set_yticks(range(len(groups)), groups)
        axes.set_ylim(len(groups) - 0.5, -0.5)
        axes.set_xlabel(unit)
        axes.margins(x=0.12)
        axes.grid(visible=False, axis="y")
        figure.legend(frameon=False, ncols=3, loc="outside lower center")


@contextmanager
def _figure(path: Path, width: float, height: float) -> Iterator["Figure"]:
    """Yield a figure of this size in inches that is written as PNG, without date or version."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    yield figure
    with whole_file(path) as partial:
        figure.savefig(partial, format="png", metadata={"Software": None})


def _axes(figure: "Figure | SubFigure", title: str, note: str) -> "Axes":
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", pad=20 if note else 8)
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(note, (0, 1), (0, 6), **place, fontsize=8, color="#555555", va="bottom")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    return axes


def _centred(pose: np.ndarray, root: int) -> np.ndarray:
    return np.asarray(pose, dtype=float) - np.asarray(pose, dtype=float)[:, [root]]


def turned(pose: np.ndarray, root: int, degrees: float) -> np.ndarray:
    """Return poses (t j 3; X right, Y down, Z forward) seen from the side by `degrees`: right and up (t j 2)."""
    right, down, forward = np.moveaxis(_centred(pose, root), -1, 0)
    angle = np.radians(degrees)
    return np.stack([np.cos(angle) * right + np.sin(angle) * forward, -down], axis=-1)


def frames(
    panels: Mapping[str, np.ndarray], captions: Sequence[str], skeleton: Skeleton, title: str, note: str
) -> Iterator[np.ndarray]:
    """Yield one RGB image a frame: the panels (t j 2) side by side, each at a scale that stays, one with a caption."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 3.4), dpi=80, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    figure.suptitle(f"{title}\n{note}" if note else title, fontsize=9)
    solid = np.concatenate([panel for name, panel in panels.items() if name != "2D input"])
    drawn = []
    for axes, (name, points) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        _fit(axes, points if name == "2D input" else solid)
        axes.set_xlabel(name, fontsize=9)
        drawn.append((axes, points, _sticks(axes, skeleton)))
    for frame, caption in enumerate(captions):
        for axes, points, sticks in drawn:
            for line, (parent, child) in zip(sticks, skeleton.bones, strict=True):
                line.set_data(*points[frame, [parent, child]].T)
            if axes is drawn[1][0]:
                axes.set_title(caption, fontsize=8, color="#555555")
        canvas.draw()
        figure.set_layout_engine("none")  # laid out once: every frame has the same panels
        yield np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _fit(axes: "Axes", points: np.ndarray) -> None:
    """Give a panel one square window that holds all points (t j 2) that are there."""
    low, high = np.nanmin(points, axis=(0, 1)), np.nanmax(points, axis=(0, 1))
    centre, half = (low + high) / 2, 0.55 * max(float((high - low).max()), 1e-3)
    axes.set(xlim=(centre[0] - half, centre[0] + half), ylim=(centre[1] - half, centre[1] + half))
    axes.set(xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_color("#CCCCCC")


def _sticks(axes: "Axes", skeleton: Skeleton) -> list[Any]:
    """Make one line a bone: left blue, right orange, the middle grey."""
    sides = dict.fromkeys(skeleton.left, LEFT) | dict.fromkeys(skeleton.right, RIGHT)
    style: dict[str, Any] = {"linewidth": 2.2, "solid_capstyle": "round"}
    return [axes.plot([], [], color=sides.get(child, MIDDLE), **style)[0] for _, child in skeleton.bones]
