"""The file of torch.export: the model in torch without this library, for every batch and length."""

import json

import pytest
import torch

from mixste.exporting import torch_file
from mixste.exporting.facts import describe
from mixste.inference import lift
from mixste.models import CLASSES
from tests.unit.exporting.exported import LICENCE, keypoints, made, sizes


def written(path, precision="fp32", **settings):
    network, config = made(**settings)
    torch_file.Writer(network).write(path, describe(config, precision))
    return network, config


@pytest.mark.parametrize("architecture", CLASSES)
def test_the_file_lifts_as_the_model_does_in_every_size(tmp_path, architecture):
    network, _ = written(tmp_path / "out.pt2", architecture=architecture)
    run = torch_file.Runner(tmp_path / "out.pt2")
    for size in sizes(network):
        windows = keypoints(network, *size)
        torch.testing.assert_close(run(windows), lift(network, windows), atol=1e-5, rtol=1e-5)


def test_long_windows_are_lifted_as_short_ones_are(tmp_path):
    """The model takes another way through its attention for 71 tokens, and for 141, than for few."""
    network, _ = written(tmp_path / "out.pt2", frames=141)
    run = torch_file.Runner(tmp_path / "out.pt2")
    for frames in (3, 71, 141):
        windows = keypoints(network, 2, frames)
        torch.testing.assert_close(run(windows), lift(network, windows), atol=1e-5, rtol=1e-5)


def test_of_a_model_of_the_centre_frame_that_frame_comes_back(tmp_path):
    network, _ = written(tmp_path / "out.pt2", output="centre", channels=2, step=3)
    windows = keypoints(network, 2, 9)
    found = torch_file.Runner(tmp_path / "out.pt2")(windows)
    torch.testing.assert_close(found, network(windows)[:, 4:5], atol=1e-5, rtol=1e-5)


def test_bf16_is_of_the_inner_linear_layers_and_says_what_its_numbers_mean(tmp_path):
    network, config = written(tmp_path / "out.pt2", "bf16")
    extra = {torch_file.NAME: ""}
    program = torch.export.load(tmp_path / "out.pt2", extra_files=extra)
    kinds = {name.split(".")[-2]: value.dtype for name, value in program.state_dict.items() if "." in name}
    assert {name for name, kind in kinds.items() if kind == torch.bfloat16} == {"qkv", "proj", "fc1", "fc2"}
    windows = keypoints(network, 3, 5)
    apart = (program.module()(windows) - lift(network, windows)).norm(dim=-1)
    assert 1e-6 < apart.mean() < 1e-2
    assert network.head.weight.dtype == torch.float32
    facts = json.loads(extra[torch_file.NAME])
    assert facts == describe(config, "bf16")
    assert (facts["joint_names"][0], facts["channels"]) == ("hip", ["x", "y", "confidence"])
    assert (facts["lengths"], facts["provenance"]["licence"]) == ([1, 9], LICENCE)


def test_the_same_model_gives_the_same_bytes_and_no_paths_of_this_machine(tmp_path, root):
    for name in "ab":
        written(tmp_path / name)
    first, second = ((tmp_path / name).read_bytes() for name in "ab")
    assert first == second
    assert str(root).encode() not in first
    assert b".py" not in first
