"""What was exported, how far it is from the model, and how fast, in words."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mixste.errors import counted
from mixste.exporting.parity import Distance

_KEPT = {"sequence": "every frame", "centre": "the centre frame"}


@dataclass(frozen=True)
class Report:
    """Of a file that was written and checked.

    `parity` is its distance from the model on windows of every size that was tried, `error` that on windows which
    `windows` describes, `allowed` the limit of both; `speeds` are frames a second of the model, of the float32 file and
    of this one.
    """

    path: Path
    facts: Mapping[str, Any]
    parity: Distance
    error: Distance
    allowed: str
    windows: str
    speeds: Mapping[str, float]

    def lines(self) -> Iterator[tuple[str, str]]:
        """Yield a name and a text for every fact."""
        yield "file", f"{self.path}, {self.facts['precision']}, {self.path.stat().st_size / 2**20:.2f} MiB"
        yield from self._described()
        unit = "mm" if self.facts["unit"] == "m" else f"thousandths of {self.facts['unit']} units"
        yield "parity", f"{_text(self.parity, unit)}, over all batches and lengths tried; allowed: {self.allowed}"
        yield "error", f"{_text(self.error, unit)}, on {self.windows}; allowed: {self.allowed}"
        threads = counted(torch.get_num_threads(), "thread")
        yield "speed", f"{self._speed()}; {threads}, {torch.backends.cpu.get_cpu_capability()}"
        own, plain = self.speeds[self.facts["precision"]], self.speeds["fp32"]
        if own < plain:
            yield "", f"{self.facts['precision']} is slower than fp32 here: {own / plain:.2f} times its speed"

    def _described(self) -> Iterator[tuple[str, str]]:
        facts = self.facts
        fewest, most = facts["lengths"]
        frames = f"{most}" if fewest == most else f"{fewest} to {most}"
        step = "" if facts["step"] == 1 else f", {facts['step']} apart"
        joints, channels = facts["joint_names"], ", ".join(facts["channels"])
        yield "takes", f"keypoints (windows, {frames} frames{step}, {len(joints)} joints, {channels}), float32"
        yield "", f"{facts['skeleton']} at {facts['fps']:g} fps; {facts['screen']}"
        yield "", ", ".join(joints)
        yield "gives", f"joints (windows, {_KEPT[facts['output']]}, joints, x y z), {facts['unit']}; {facts['frame']}"
        yield "licence", facts["provenance"].get("licence") or "not said"

    def _speed(self) -> str:
        return ", ".join(f"{name} {speed:,.0f}" for name, speed in self.speeds.items()) + " frames/s"


def _text(apart: Distance, unit: str) -> str:
    return f"mean {apart.mean:.2g}, at most {apart.most:.2g} {unit}"
