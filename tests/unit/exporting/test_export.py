"""A file is kept only if it does what the model does; here of a format that is nothing but the model itself."""

from types import SimpleNamespace

import pytest
import torch

from mixste.errors import MixsteError
from mixste.exporting import export as exporting
from mixste.exporting.export import LIMITS, Format, Limit, export
from mixste.exporting.facts import describe
from mixste.exporting.parity import Distance
from mixste.inference import lift
from tests.unit.exporting.exported import made
from tests.unit.factories import sequences, write_projections

NETWORK, CONFIG = made()
MILLIMETRE = torch.tensor([0.0, 0.0, 0.001])


@pytest.fixture
def off(monkeypatch):
    """Files that are off by so much, of each precision; what was written."""
    by, facts = {"fp32": 0.0, "bf16": 4.0, "int8": 4.0}, []

    class Writer:
        def __init__(self, model):
            assert model is NETWORK

        def write(self, path, about):
            path.write_text(about["precision"])
            facts.append(about)

    def runner(path):
        precision = path.read_text()
        return lambda windows: lift(NETWORK, windows) + by[precision] * MILLIMETRE

    form = Format(tuple(by), Writer, runner)
    monkeypatch.setattr(exporting, "_torch_file", lambda: form)
    return SimpleNamespace(by=by, facts=facts)


def test_a_file_that_does_what_the_model_does_is_kept(tmp_path, off):
    report = export(NETWORK, CONFIG, tmp_path / "out.pt2")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["fp32"]
    assert off.facts == [report.facts] == [describe(CONFIG, "fp32")]
    assert report.parity == report.error == Distance(0.0, 0.0)
    assert report.speeds.keys() == {"model", "fp32"}


def test_a_variant_is_measured_beside_the_float32_file(tmp_path, off):
    report = export(NETWORK, CONFIG, tmp_path / "out.pt2", precision="bf16")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["bf16"]
    assert report.error.mean == pytest.approx(4.0, abs=1e-3)
    assert report.allowed == "mean 10"
    assert report.speeds.keys() == {"model", "fp32", "bf16"}
    assert min(report.speeds.values()) > 0


@pytest.mark.parametrize(
    ("precision", "by"), [("fp32", 1.0), ("fp32", float("nan")), ("bf16", 11.0), ("int8", float("inf"))]
)
def test_a_file_that_is_off_is_refused_and_not_kept(tmp_path, off, precision, by):
    off.by[precision] = by
    message = f"{precision} in .*out.pt2 is too far from the model and was not kept; found: mean .*{LIMITS[precision]}"
    with pytest.raises(MixsteError, match=message):
        export(NETWORK, CONFIG, tmp_path / "out.pt2", precision=precision)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out.pt2").write_text("older")
    with pytest.raises(MixsteError, match=message):
        export(NETWORK, CONFIG, tmp_path / "out.pt2", precision=precision)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["older"]


def test_limits_are_of_the_mean_or_of_the_most():
    assert Limit("mean", 1.0).holds(Distance(mean=0.9, most=5.0))
    assert not Limit("most", 1.0).holds(Distance(mean=0.9, most=5.0))


def test_the_error_is_measured_on_the_data_that_are_given(tmp_path, off):
    write_projections(tmp_path / "rig/a.parquet", sequences((30, 5)))
    report = export(NETWORK, CONFIG, tmp_path / "out.pt2", data=tmp_path / "rig")
    assert report.windows == f"5 windows of {tmp_path / 'rig'}"


@pytest.mark.parametrize(
    ("name", "precision", "message"),
    [
        ("out.tflite", "fp32", r"cannot export to .*out.tflite; found: .tflite; expected: .onnx or .pt2"),
        ("out", "fp32", "found: no ending"),
        ("out.pt2", "int8", "expected: fp32, bf16; to mend it: export int8 to .onnx"),
        ("out.onnx", "fp16", "found: fp16; expected: fp32, bf16, int8"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, name, precision, message):
    with pytest.raises(MixsteError, match=message):
        export(NETWORK, CONFIG, tmp_path / name, precision=precision)
    assert list(tmp_path.iterdir()) == []
