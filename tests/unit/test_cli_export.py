"""`mixste export`: what it writes and prints, and what it refuses before anything is fetched."""

import pytest
import torch

from mixste.cli import main
from mixste.exporting.facts import describe
from mixste.exporting.parity import Distance
from mixste.exporting.report import Report
from mixste.models.checkpoint import save_model
from tests.unit.exporting.exported import LICENCE, made


@pytest.fixture
def folder(tmp_path):
    network, config = made()
    save_model(tmp_path / "model", network.state_dict(), config)
    return tmp_path / "model"


def test_export_writes_a_file_and_says_what_it_takes_gives_costs_and_brings(folder, tmp_path, capsys):
    main(["export", str(folder), "-o", str(tmp_path / "out.pt2"), "--precision", "bf16"])
    lines = capsys.readouterr().out.splitlines()
    said = {line[:8].strip(): line[10:] for line in lines if line[:8].strip()}
    assert said["takes"] == "keypoints (windows, 1 to 9 frames, 17 joints, x, y, confidence), float32"
    assert any("h36m17 at 50 fps; x = u / width" in line for line in lines)
    assert any("hip, r_hip, r_knee" in line for line in lines)
    assert said["gives"].startswith("joints (windows, every frame, joints, x y z), m; camera, X right, Y down")
    assert said["licence"] == LICENCE
    assert said["parity"].endswith("mm, over all batches and lengths tried; allowed: mean 10")
    assert "on 16 random windows" in said["error"]
    assert "fp32" in said["speed"]
    assert said["file"].startswith(f"{tmp_path / 'out.pt2'}, bf16, ")
    assert torch.export.load(tmp_path / "out.pt2").module()(torch.zeros(2, 4, 17, 3)).shape == (2, 4, 17, 3)


def report(tmp_path, precision="bf16", **speeds):
    path, apart = tmp_path / "out.pt2", Distance(0.1, 0.2)
    path.touch()
    facts = describe(made(output="centre", step=2)[1], precision)
    return dict(Report(path, facts, apart, apart, "mean 10", "16 random windows", speeds).lines())


def test_a_variant_that_is_slower_is_called_so(tmp_path):
    assert report(tmp_path, model=100, fp32=200, bf16=150)[""] == "bf16 is slower than fp32 here: 0.75 times its speed"
    assert "slower" not in report(tmp_path, model=100, fp32=100, bf16=150)[""]
    assert "slower" not in report(tmp_path, "fp32", model=200, fp32=100)[""]


def test_what_a_model_of_the_centre_frame_takes_is_said(tmp_path):
    said = report(tmp_path, model=1, fp32=1, bf16=1)
    assert "(windows, 9 frames, 2 apart, 17 joints" in said["takes"]
    assert "the centre frame" in said["gives"]


def test_what_cannot_be_written_is_refused_before_the_model_is_fetched(tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["export", "models:/nothing@here", "-o", str(tmp_path / "out.tflite")])
    assert stopped.value.code == 1
    assert "expected: .onnx or .pt2" in capsys.readouterr().err
