"""`mixste info` and `mixste doctor`: what they find out, and what they call amiss."""

from types import SimpleNamespace

import pytest
import torch

from mixste import registry
from mixste.cli import main
from mixste.commands import doctor, info
from mixste.models.checkpoint import ModelConfig, save_model
from mixste.models.kernels import native
from tests.unit.factories import model, model_settings
from tests.unit.official import layouts

PROVENANCE = {"stage": "finetune", "data": "cmu", "synthetic": False, "licence": "free", "validation_mpjpe_mm": 75.04}
TAGS = {"test_mpjpe_mm": "70.24", "test_p_mpjpe_mm": "50.0", "verdict": "champion: surely better"}


def facts(capsys):
    lines = capsys.readouterr().out.splitlines()
    return [tuple(part.strip() for part in line.strip().split("  ", 1)) for line in lines]


@pytest.fixture
def folder(tmp_path):
    settings = model_settings(frames=27)
    parent = {"stage": "pretrain", "data": "amass", "licence": "free"}
    origin = {**PROVENANCE, "parent": parent}
    config = ModelConfig(model=settings, skeleton="h36m17", fps=50.0, provenance=origin)
    save_model(tmp_path / "model", model(frames=27).state_dict(), config)
    return tmp_path / "model"


def test_info_says_what_a_model_takes_and_gives_and_where_it_comes_from(folder, capsys):
    main(["info", str(folder)])
    said = dict(facts(capsys))
    parameters = sum(value.numel() for value in model(frames=27).parameters())
    assert said["takes"].startswith("h36m17 (17 joints): x, y, confidence at 50 fps; x = u / width")
    assert said["gives"] == "every frame of a window, m; camera, X right, Y down, Z forward, root-relative"
    assert said["network"].endswith(f"27 frames a window, width 16, depth 2, heads 2; {parameters:,} parameters")
    assert said["licence"] == "free"
    assert said["made by"] == "stage finetune, data cmu, synthetic False, validation MPJPE 75.0 mm"
    assert said["begun with"] == "stage pretrain, data amass"


def test_info_of_an_official_checkpoint_is_of_what_it_becomes(tmp_path, capsys):
    path = layouts.save_mixste(tmp_path / "best_epoch.bin", layouts.random_weights(layouts.mixste(16, 2, 9)))
    main(["info", str(path)])
    said = dict(facts(capsys))
    assert said["takes"].startswith("h36m17 (17 joints): x, y at 50 fps")
    assert "network MixSTE, file best_epoch.bin" in said["made by"]


def test_info_of_a_registered_model_has_its_version_and_errors(folder, capsys, monkeypatch):
    found = registry.Registered("mixste", "7", ("champion",), TAGS, "sqlite:////x.db")
    monkeypatch.setattr(info, "find", lambda uri: found)
    monkeypatch.setattr("mixste.lifting.source.pull", lambda uri, place, tracking_uri: folder)
    main(["info", "models:/mixste@champion"])
    said = dict(facts(capsys))
    assert said["registered"] == "mixste, version 7, champion, in sqlite:////x.db"
    assert said["test error"] == "MPJPE 70.2 mm, P-MPJPE 50.0 mm"
    assert said["verdict"] == "champion: surely better"
    assert said["licence"] == "free"


def test_info_of_nothing_is_one_message(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["info", str(tmp_path)])
    assert "no model in" in capsys.readouterr().err


def test_doctor_finds_nothing_amiss_where_all_is_there(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    main(["doctor"])
    said = dict(facts(capsys))
    assert set(doctor.NEEDED) <= said.keys()
    assert said["registry"].startswith("none yet: there is no model registry")
    assert said["disk"].endswith(f"GiB free in {tmp_path}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("able", "products"),
    [
        (["avx512_bf16", "avx512_vnni"], ", multiplies bf16 and int8 faster than fp32"),
        (["avx512_vnni"], ", multiplies int8 faster than fp32"),
        ([], ", 1 thread"),
    ],
)
def test_doctor_says_which_precisions_the_cpu_is_made_for(capsys, monkeypatch, tmp_path, able, products):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: dict.fromkeys(able, True))
    monkeypatch.setattr(native, "library", lambda: "there")
    main(["doctor"])
    assert dict(facts(capsys))["cpu"].endswith(products)


def test_doctor_says_what_a_gpus_kernels_want(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda number: (2**33, 2**34))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: "H200")
    monkeypatch.setattr("mixste.machine.hardware.missing_to_compile", lambda kind: "gcc or clang")
    main(["doctor"])
    said = dict(facts(capsys))["cuda:0"]
    assert said.startswith("H200, 8.0 of 16.0 GiB free; networks are slower than they could be: no gcc or clang")


@pytest.mark.parametrize("there", [True, False])
def test_doctor_says_whether_ffmpeg_is_there(capsys, monkeypatch, tmp_path, there):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    if there:
        (tmp_path / "ffmpeg").touch(mode=0o755)
    main(["doctor"])
    said = dict(facts(capsys))["ffmpeg"]
    assert said == (f"{tmp_path}/ffmpeg" if there else "not installed; it writes motions as .mp4")


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        (
            [registry.Registered("mine", "7", (), TAGS, ""), registry.Registered("mixste", "1", (), {}, "")],
            ["mine, version 7, test MPJPE 70.2 mm", "mixste, version 1"],
        ),
        ([], ["none yet: `make repro` makes one"]),
    ],
)
def test_doctor_names_the_champions(capsys, monkeypatch, tmp_path, found, lines):
    (tmp_path / "mlflow.db").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(doctor, "champions", lambda: found)
    main(["doctor"])
    assert [text for name, text in facts(capsys) if name == "champion"] == lines


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("sqlite:///mlfow.db", "there is no model registry; found: no file {here}/mlfow.db; to mend it: "),
        ("mlflow.db", "MLFLOW_TRACKING_URI names no store of MLflow's; found: mlflow.db; "),
    ],
)
def test_doctor_marks_a_registry_that_is_named_and_not_there(capsys, monkeypatch, tmp_path, named, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", named)
    with pytest.raises(SystemExit):
        main(["doctor"])
    assert dict(facts(capsys))["! registry"].startswith(said.format(here=tmp_path))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (("NEEDED", ("mixste", "no-such-thing")), "! no-such-thing  not installed: pip install no-such-thing"),
        (("LEAST", 1e9), "! disk"),
    ],
)
def test_doctor_marks_what_is_amiss_and_ends_with_status_1(capsys, monkeypatch, tmp_path, change, line):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(doctor, *change)
    with pytest.raises(SystemExit) as stopped:
        main(["doctor"])
    assert stopped.value.code == 1
    marked = [text for text in capsys.readouterr().out.splitlines() if text.startswith("!")]
    assert [text.startswith(line) for text in marked] == [True]


def test_doctor_says_which_server_does_not_answer(capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(SystemExit):
        main(["doctor", "--seconds", "2"])
    assert "!" in (said := capsys.readouterr().out)
    assert "the model registry http://127.0.0.1:9 does not answer" in said


def test_a_masked_network_says_that_it_does_not_lift():
    config = SimpleNamespace(
        kind="masked", skeleton="h36m17", joints=17, fps=50, screen="", provenance={}, model=model_settings()
    )
    assert dict(info._described(config))["gives"] == "hidden 2D keypoints: it is for fine-tuning and does not lift"
