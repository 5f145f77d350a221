"""Registration: a version that explains itself and loads elsewhere, and a champion that is only ever beaten."""

import json
import logging
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mixste.models import build_model
from mixste.models.checkpoint import ModelConfig, save_model
from mixste.table import Metadata, write_table
from pipelines import register, registry, store
from pipelines.params import Params, load, write
from pipelines.succession import Version

JOINTS, FRAMES = 17, 30
PREDICT = """
import sys, numpy, mlflow.pyfunc
model = mlflow.pyfunc.load_model("models:/mixste@champion")
numpy.save("out.npy", model.predict(numpy.load("in.npy")))
"""


def keypoints(clips: int, frames: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (clips, frames, JOINTS, 3)).astype(np.float32)


def write_rig(params: Params) -> None:
    for subject in params.data.split.test.subjects:
        columns = {
            **{name: [value] * FRAMES for name, value in (("clip", "T/0"), ("subject", subject), ("action", "walk"))},
            "camera": ["54138969"] * FRAMES,
            "frame": np.arange(FRAMES, dtype=np.int32),
            "keypoints": keypoints(1, FRAMES)[0],
            "joints": keypoints(1, FRAMES)[0],
        }
        frame, screen = "camera, X right, Y down, Z forward", "width"
        metadata = Metadata(
            "projections", params.data.skeleton, "m", frame, params.data.fps, "sample", "MIT", True, "simulated", screen
        )
        path = Path(f"datasets/projections/rig/sample-{subject}.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, columns, metadata)


def write_model(params: Params, *, seed: int, mpjpe: float, test_data: str = "t" * 32, clips: int = 8) -> None:
    """A model folder, and the evaluation of one whose error is `mpjpe` in the mean and differs from clip to clip."""
    torch.manual_seed(seed)
    config = ModelConfig(model=params.model, skeleton=params.data.skeleton, fps=params.data.fps)
    folder = Path("models/finetuned")
    folder.mkdir(parents=True, exist_ok=True)
    model = build_model(params.model, joints=JOINTS)
    save_model(folder, model.state_dict(), replace(config, provenance={"data_hash": "d" * 32}))
    scores = {"mpjpe": mpjpe, "p_mpjpe": 1.0, "n_mpjpe": 2.0, "mpjve": 3.0}
    metrics = Path("reports/evaluation/metrics.json")
    metrics.parent.mkdir(parents=True, exist_ok=True)
    metrics.write_text(json.dumps({"finetuned": scores, "test_data": test_data}))
    errors = mpjpe + np.random.default_rng(seed).permutation(np.linspace(-1, 1, clips))
    rows = [f"finetuned,walk,S7/{n},{1 / clips:.9f},{error:.3f},1.000,8" for n, error in enumerate(errors)]
    metrics.with_name("per_clip.csv").write_text(
        "\n".join(["model,group,clip,weight,mpjpe,p_mpjpe,frames", *rows]) + "\n"
    )


def run() -> dict:
    register.main()
    return json.loads(Path("reports/registered.json").read_text())


@pytest.fixture
def params(tracked_workplace: Path) -> Params:
    settings = write(["model=tiny", "model.width=8", "model.depth=1"])
    write_rig(settings)
    return settings


def test_a_model_of_humaneva_is_compared_by_its_p_mpjpe(params: Params):
    settings = write(["model=tiny", "data.protocol=humaneva"])
    write_model(settings, seed=1, mpjpe=50.0)
    found = register.candidate(settings)
    assert (found.headline, found.error) == ("p_mpjpe", 1.0)


def shelf() -> registry.Shelf:
    return registry.Shelf(store.tracking_uri(), "mixste", "champion")


def champion() -> Version:
    state = shelf().state()
    return state.version(state.alias)


@pytest.mark.slow
def test_the_champion_moves_only_when_it_is_surely_beaten_on_the_same_data(params: Params):
    write_model(params, seed=1, mpjpe=50.0)
    first = run()
    assert (first["version"], first["champion"], first["against"]) == ("1", True, None)
    assert run() == {**first, "why": "champion already"}

    write_model(params, seed=2, mpjpe=49.9)
    unsure = run()
    assert (unsure["version"], unsure["champion"], unsure["against"]) == ("2", False, "1")
    assert "0.1 mm lower than that of version 1 (95 % interval -" in unsure["why"]
    assert unsure["comparison"]["lower_mm"] == pytest.approx(0.1, abs=2e-3)
    assert unsure["comparison"]["clips"] == 8
    assert champion().number == 1

    write_model(params, seed=3, mpjpe=10.0, test_data="u" * 32)
    elsewhere = run()
    assert not elsewhere["champion"]
    assert "other data" in elsewhere["why"]

    write_model(params, seed=4, mpjpe=47.0)
    better = run()
    assert better["champion"]
    assert "3.0 mm lower than that of version 1 (95 % interval " in better["why"]
    assert "better in 100.0 % of 10000 resamples of 8 clips" in better["why"]
    assert (champion().number, champion().tags["champion_before"]) == (4, "1")
    assert champion().tags["verdict"] == better["why"]

    write_model(params, seed=2, mpjpe=49.9)
    again = run()
    assert (again["version"], again["champion"]) == ("2", False)
    assert "2.9 mm higher than that of version 4" in again["why"]


@pytest.mark.slow
def test_a_version_explains_itself_and_loads_in_another_folder(
    params: Params, tmp_path_factory: pytest.TempPathFactory
):
    write_model(params, seed=1, mpjpe=50.0)
    run()
    tags = champion().tags
    assert float(tags["test_mpjpe_mm"]) == 50.0
    assert tags["unit"] == "m"
    assert tags["synthetic"] == "true"
    assert {"git_commit", "data_hash", "test_data_hash", "weights_hash", "skeleton", "frame", "licence"} <= tags.keys()

    stored = sorted(p for p in Path("mlartifacts").rglob("*") if p.is_file())
    assert not [path for path in stored if path.suffix in (".pkl", ".pickle", ".pt", ".pth", ".pyc")]
    assert [path for path in stored if path.name == "model.safetensors"]
    requirements = next(path for path in stored if path.name == "requirements.txt").read_text()
    assert "torch==" in requirements

    elsewhere = tmp_path_factory.mktemp("elsewhere")
    given = keypoints(2, params.model.frames)
    np.save(elsewhere / "in.npy", given)
    environment = {"MLFLOW_TRACKING_URI": store.tracking_uri(), "PATH": "", "MLFLOW_DISABLE_TELEMETRY": "true"}
    subprocess.run([sys.executable, "-c", PREDICT], cwd=elsewhere, env=environment, check=True)
    from mixste.lifter import Lifter

    lifted = np.load(elsewhere / "out.npy")
    assert lifted.shape == (2, params.model.frames, JOINTS, 3)
    np.testing.assert_allclose(lifted, Lifter.load("models/finetuned").predict(given), atol=1e-6)


@pytest.mark.slow
def test_the_signature_refuses_what_does_not_fit_and_long_sequences_are_lifted(params: Params):
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException

    write_model(params, seed=1, mpjpe=50.0)
    run()
    model = mlflow.pyfunc.load_model("models:/mixste@champion")
    assert model.predict(keypoints(1, 40)).shape == (1, 40, JOINTS, 3)
    assert model.metadata.get_input_schema().inputs[0].shape == (-1, -1, JOINTS, 3)
    given = keypoints(1, params.model.frames)
    assert not np.array_equal(model.predict(given), model.predict(given, params={"flip": False}))
    with pytest.raises(MlflowException, match="does not match expected shape"):
        model.predict(given[:, :, :15])


def test_a_dead_server_leaves_a_warned_stage_that_says_so(
    params: Params, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    write_model(params, seed=1, mpjpe=50.0)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    begun = time.monotonic()
    with caplog.at_level(logging.WARNING):
        outcome = run()
    assert time.monotonic() - begun < 10
    assert outcome["version"] is None
    assert "not registered" in outcome["why"]
    assert "does not answer" in caplog.text


def test_missing_scores_are_a_clear_error(params: Params):
    from mixste.errors import MixsteError

    write_model(params, seed=1, mpjpe=50.0)
    Path("reports/evaluation/metrics.json").write_text("{}")
    with pytest.raises(MixsteError, match="dvc repro evaluate"):
        register.candidate(load())


def test_an_imported_model_is_registered_under_its_authors_licence(params: Params):
    settings = write(
        ["model=tiny", "evaluate.models=[{name: authors, folder: models/authors}]", "register.model=authors"]
    )
    write_model(settings, seed=1, mpjpe=50.0)
    Path("models/finetuned").rename("models/authors")
    config = Path("models/authors/config.json")
    config.write_text(config.read_text().replace('"data_hash": "' + "d" * 32 + '"', '"licence": "theirs"'))
    metrics = Path("reports/evaluation/metrics.json")
    metrics.write_text(metrics.read_text().replace("finetuned", "authors"))
    by_clip = metrics.with_name("per_clip.csv")
    by_clip.write_text(by_clip.read_text().replace("finetuned", "authors"))
    found = register.candidate(settings)
    assert (found.folder, found.scores["mpjpe"]) == (Path("models/authors"), 50.0)
    assert register.tags(settings, found)["licence"] == "theirs"


def test_a_masked_network_is_not_registered(params: Params):
    from mixste.errors import MixsteError

    write_model(params, seed=1, mpjpe=50.0)
    config = Path("models/finetuned/config.json")
    config.write_text(config.read_text().replace('"kind": "lifter"', '"kind": "masked"'))
    with pytest.raises(MixsteError, match=r"cannot register models/finetuned.*masked"):
        register.candidate(load())
