"""Speeds are measured in turns, and of frames that come out."""

import time

import torch

from mixste.exporting.speed import batch, frames_per_second
from tests.unit.exporting.exported import made


def test_programs_take_turns_and_the_slower_one_is_slower():
    order = []

    def program(name, seconds, frames):
        def run(keypoints):
            order.append(name)
            time.sleep(seconds)
            return torch.zeros(len(keypoints), frames, 17, 3)

        return run

    runs = {"slow": program("slow", 0.02, 9), "quick": program("quick", 0.002, 9), "centre": program("centre", 0.02, 1)}
    speeds = frames_per_second(runs, torch.zeros(4, 9, 17, 3), rounds=3)
    assert order == ["slow", "quick", "centre"] * 4
    assert speeds["quick"] > 2 * speeds["slow"]
    assert 0 < speeds["slow"] <= 4 * 9 / 0.02
    assert speeds["centre"] <= 4 / 0.02


def test_a_batch_is_whole_windows_fewer_of_a_large_model():
    assert batch(made()[0]).shape == (32, 9, 17, 3)
    assert batch(made(frames=243, width=512, heads=8, channels=2)[0]).shape == (1, 243, 17, 2)
