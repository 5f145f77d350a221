"""Detectors by name: rtmlib's with weights that stand in for its own, one of your own, and what is missing."""

import sys
import zipfile

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mixste.errors import MixsteError
from mixste.video import Detector, load_detector, read_video
from mixste.video.rtm import folder
from tests.unit.video.clips import write_clip

NAMES = [
    "yolox_tiny_8xb8-300e_humanart-6f3252f9",
    "rtmpose-s_simcc-body7_pt-body7-halpe26_700e-256x192-7f134165_20230605",
]
BOX = (40.0, 30.0, 100.0, 110.0)


def constant(outputs: dict[str, np.ndarray], shape: tuple[int, ...]) -> bytes:
    """A network that gives the same for any picture."""
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))
        for name, value in outputs.items()
    ]
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)
    results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, value.shape) for name, value in outputs.items()]
    graph = helper.make_graph(nodes, "constant", [given], results)
    opset = [helper.make_opsetid("", 17)]
    return onnx.helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


def boxes(score: float) -> bytes:
    """A YOLOX with NMS that sees BOX of the video, shown at 416/160 times its size."""
    return constant({"dets": np.float32([[[*(side * 416 / 160 for side in BOX), score]]])}, (1, 3, 416, 416))


def pose() -> bytes:
    """An RTMPose that sees all joints in the middle of what it is shown, as sure as 0.8."""
    x, y = np.zeros((1, 26, 384), np.float32), np.zeros((1, 26, 512), np.float32)
    x[..., 192], y[..., 256] = 0.8, 0.8
    return constant({"simcc_x": x, "simcc_y": y}, (1, 3, 256, 192))


@pytest.fixture
def weights(tmp_path):
    place = tmp_path / "weights"
    place.mkdir()
    for name, network in zip(NAMES, (boxes(0.9), pose()), strict=True):
        with zipfile.ZipFile(place / f"{name}.zip", "w") as file:
            file.writestr(f"2023/{name}/end2end.onnx", network)
            file.writestr(f"2023/{name}/detail.json", "{}")
    return place


def test_rtmlib_finds_people_with_weights_from_a_folder_zipped_or_not(weights, tmp_path, capsys):
    for detector in (load_detector("rtmlib-light", weights=weights), load_detector("rtmlib-light", weights=weights)):
        assert isinstance(detector, Detector)
        people = detector(np.zeros((120, 160, 3), np.uint8))
        assert people.shape == (1, 26, 3)
        middle = ((BOX[0] + BOX[2]) / 2, (BOX[1] + BOX[3]) / 2, 0.8)
        np.testing.assert_allclose(people[0], np.tile(middle, (26, 1)), atol=0.5)
        for archive in weights.glob("*.zip"):
            archive.unlink()  # unpacked by now
    assert capsys.readouterr().out == ""
    found = read_video(write_clip(tmp_path / "a.mp4", 3), detector)
    assert (found.skeleton, len(found.frames)) == ("halpe26", 3)


def test_a_picture_without_people_has_none(weights):
    with zipfile.ZipFile(weights / f"{NAMES[0]}.zip", "w") as file:
        file.writestr("end2end.onnx", boxes(0.1))
    assert load_detector("rtmlib-light", weights=weights)(np.zeros((120, 160, 3), np.uint8)).shape == (0, 26, 3)


def test_missing_weights_are_one_error_that_says_what_to_fetch_and_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MIXSTE_WEIGHTS", str(tmp_path / "here"))
    assert folder() == tmp_path / "here"
    with pytest.raises(MixsteError) as error:
        load_detector("rtmlib-light")
    text = str(error.value)
    assert f"2 of 2 files are not in {tmp_path / 'here'}; nothing is downloaded unasked" in text
    assert [name for name in NAMES if f"/{name}.zip" in text and "https://" in text] == NAMES
    assert "--weights or MIXSTE_WEIGHTS" in text
    assert not (tmp_path / "here").exists()


def test_only_what_is_missing_is_listed(weights):
    (weights / f"{NAMES[0]}.zip").unlink()
    with pytest.raises(MixsteError, match="1 of 2 files") as error:
        load_detector("rtmlib-light", weights=weights)
    assert NAMES[1] not in str(error.value)


@pytest.mark.parametrize("content", [b"no zip", None])
def test_damaged_weights_are_named(weights, content):
    if content:
        (weights / f"{NAMES[0]}.zip").write_bytes(content)
    else:
        (weights / f"{NAMES[0]}.onnx").write_bytes(b"no network")
    with pytest.raises(MixsteError, match=f"{NAMES[0]}.*to mend it: fetch it again"):
        load_detector("rtmlib-light", weights=weights)


def test_without_rtmlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "rtmlib", None)
    with pytest.raises(
        MixsteError, match=r"expected: the extra video; to mend it: in mixste's checkout: pip install -e '.\[video\]'"
    ):
        load_detector("rtmlib")


def test_a_gpu_that_is_not_there_is_refused(weights, monkeypatch):
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(MixsteError, match="cannot detect on a GPU; found: an onnxruntime without CUDA"):
        load_detector("rtmlib-light", weights=weights, device="cuda")


def test_a_detector_of_ones_own_is_found_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_own.py").write_text(
        "import numpy as np\n\nclass Mine:\n    skeleton = 'coco17'\n\n"
        "    def __call__(self, image):\n        return np.ones((1, 17, 3))\n\nmade = Mine()\n\ndef bare(image): ...\n"
    )
    for name in ("my_own:Mine", "my_own:made", "my_own.py:Mine"):
        assert load_detector(name)(np.zeros((2, 2, 3))).shape == (1, 17, 3)
    for name, message in [
        ("my_own:other", "cannot load the detector my_own:other"),
        ("no_such:Mine", "found: No module named 'no_such'"),
        ("my_own:bare", "my_own:bare is no detector; found: a function; expected: something to call, with the name"),
        (
            "yolo",
            "there is no such detector; found: yolo; expected: rtmlib-light, rtmlib, rtmlib-large, or MODULE:NAME",
        ),
    ]:
        with pytest.raises(MixsteError, match=message):
            load_detector(name)
    assert str(tmp_path) not in sys.path
