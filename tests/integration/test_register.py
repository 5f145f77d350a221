"""Registration: a version that explains itself and loads elsewhere, and a champion that is only ever beaten."""

import json
import logging
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.drills.registry.folders import JOINTS, TEST_DATA, write_evaluation, write_rig
from benchmarks.drills.registry.folders import write_model as write_folder
from mixste.errors import MixsteError
from mixste.files.hashing import data_hash
from pipelines import register, registry, rollback, tracking
from pipelines.params import Params, load, write
from pipelines.places import EVALUATION
from pipelines.registry.candidate import candidate, tags
from pipelines.registry.succession import Version, choose
from pipelines.tracking import store
from tests.unit.lifters import SIZE, person

PREDICT = """
import sys, numpy, mlflow.pyfunc
model = mlflow.pyfunc.load_model("models:/mixste@champion")
params = {"skeleton": "coco17", "fps": 30, "image_size": [1000, 800]}
numpy.save("out.npy", model.predict(numpy.load("in.npy"), params=params)["joints"])
"""


def write_model(params: Params, *, seed: int, mpjpe: float, test_data: str = TEST_DATA) -> None:
    """A model folder, and the evaluation of one whose error is `mpjpe` in the mean and differs from clip to clip."""
    write_folder(params, seed=seed)
    write_evaluation(mpjpe + np.random.default_rng(seed).permutation(np.linspace(-1, 1, 8)), test_data=test_data)


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
    found = candidate(settings)
    assert (found.headline, found.error) == ("p_mpjpe", 1.0)


def shelf() -> registry.Shelf:
    return registry.Shelf(store.default_store(), "mixste", "champion")


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
    own = champion().tags
    assert float(own["test_mpjpe_mm"]) == 50.0
    assert own["unit"] == "m"
    assert own["synthetic"] == "true"
    assert {"git_commit", "data_hash", "test_data_hash", "weights_hash", "skeleton", "frame", "licence"} <= own.keys()
    assert own["parent_data_hash"] == "p" * 32
    assert own["run"] == own["run_parent"] == own["run_evaluate"] == "unknown"  # nothing trained it

    stored = sorted(p for p in Path("mlartifacts").rglob("*") if p.is_file())
    assert not [path for path in stored if path.suffix in (".pkl", ".pickle", ".pt", ".pth", ".pyc")]
    assert [path for path in stored if path.name == "model.safetensors"]
    requirements = next(path for path in stored if path.name == "requirements.txt").read_text()
    assert "torch==" in requirements

    elsewhere = tmp_path_factory.mktemp("elsewhere")
    given = person(20, fps=30, skeleton="coco17")
    np.save(elsewhere / "in.npy", given)
    environment = {"MLFLOW_TRACKING_URI": store.default_store(), "PATH": "", "MLFLOW_DISABLE_TELEMETRY": "true"}
    subprocess.run([sys.executable, "-c", PREDICT], cwd=elsewhere, env=environment, check=True)
    from mixste.lifter import Lifter

    lifted = np.load(elsewhere / "out.npy")
    assert lifted.shape == (20, JOINTS, 3)
    own = Lifter.load("models/finetuned").lift(given, skeleton="coco17", fps=30, image_size=SIZE)
    np.testing.assert_allclose(lifted, own.joints, atol=1e-6)


def test_a_version_names_the_runs_that_made_and_scored_it_and_the_one_before(params: Params):
    write_model(params, seed=1, mpjpe=50.0)
    began, made = Path("models/began"), Path("models/finetuned")
    began.mkdir()
    (began / "config.json").write_text("{}")
    runs = {}
    for stage, places in {
        "pretrain": {"output": began},
        "finetune": {"parent": began, "output": made},
        "evaluate": {"parent": made, "output": EVALUATION},
    }.items():
        with tracking.run(stage, params, **places):
            pass
        runs[stage] = tracking.run_of(places["output"])
    run()
    own = champion().tags
    named = {"run": runs["finetune"], "run_parent": runs["pretrain"], "run_evaluate": runs["evaluate"]}
    assert {key: own[key] for key in named} == named


@pytest.mark.slow
def test_the_registered_model_takes_any_length_and_refuses_what_does_not_fit(params: Params):
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException

    write_model(params, seed=1, mpjpe=50.0)
    run()
    model = mlflow.pyfunc.load_model("models:/mixste@champion")
    given = {"skeleton": "h36m17", "fps": 50, "image_size": list(SIZE)}
    clip = person(40)
    motion = model.predict(clip, params=given)
    assert np.shape(motion["joints"]) == (40, JOINTS, 3)
    assert motion.keys() == set(model.metadata.get_output_schema().input_names())
    assert motion["joints"] != model.predict(clip, params={**given, "flip": False})["joints"]
    with pytest.raises(MlflowException, match="expected: `t j c`: frames x 17 joints of h36m17") as refused:
        model.predict(clip[:, :15], params=given)
    assert refused.value.get_http_status_code() == 400
    with pytest.raises(MlflowException, match="found: skeleton: 'nothing'; fps: 'nothing'; image_size: 'nothing'"):
        model.predict(clip)


@pytest.mark.slow
def test_a_version_keeps_its_lineage_parameters_and_errors_when_its_runs_are_deleted(params: Params, tmp_path: Path):
    write_model(params, seed=1, mpjpe=50.0)
    run()
    client = shelf().client
    for found in client.search_runs([own.experiment_id for own in client.search_experiments()]):
        client.delete_run(found.info.run_id)
    kept = shelf().download(1, "artifacts/as-registered", tmp_path)
    assert load(kept / "params.yaml") == params
    assert (kept / "per_clip.csv").read_bytes() == Path("reports/evaluation/per_clip.csv").read_bytes()
    lineage = json.loads((kept / "lineage.json").read_text())
    assert lineage.items() <= dict(champion().tags).items()
    assert lineage["params_hash"] == data_hash(kept / "params.yaml")
    stored = client.get_logged_model(client.get_model_version("mixste", "1").source.removeprefix("models:/"))
    assert stored.params["model.width"] == "8"


@pytest.mark.slow
def test_a_rollback_is_one_command_and_what_it_took_back_stays_so(
    params: Params, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture
):
    def command(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["rollback", *arguments])
        caplog.clear()
        with caplog.at_level(logging.INFO):
            rollback.main()
        return caplog.text

    for seed, mpjpe in enumerate((50.0, 40.0)):
        write_model(params, seed=seed, mpjpe=mpjpe)
        run()
    said = command("--why", "it jitters")
    assert "champion stands at version 1, before it at version 2; rolled back: 2" in said
    assert champion().number == 1

    again = run()
    assert (again["version"], again["champion"]) == ("2", False)
    assert "version 2 was rolled back on 20" in again["why"]
    assert "it jitters" in again["why"]
    assert champion().number == 1
    with pytest.raises(MixsteError, match="nothing to go back to from version 1 of mixste"):
        command()
    with pytest.raises(MixsteError, match="no version 7 of mixste; expected: one of 1, 2"):
        command("--to", "7")

    command("--list")
    shown = " ".join(capsys.readouterr().out.split())
    assert "rolled back to" in shown
    assert "MPJPE" in shown
    command("--to", "2")
    assert champion().number == 2
    with pytest.raises(MixsteError, match="stands at version 2 already"):
        command("--to", "2")

    for arguments in ((), ("--to", "1")):
        command("--to", "2") if champion().number == 1 else None
        state = shelf().state()
        choose(shelf(), state, state.version(1), when="today", why="killed before it moved the alias")
        assert champion().number == 2
        assert "the rollback of version 2 had begun and is done now: champion stands at version 1" in command(
            *arguments
        )
        assert champion().number == 1


def test_a_rollback_without_its_server_is_a_clear_error(params: Params, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setattr("sys.argv", ["rollback"])
    with pytest.raises(MixsteError, match=r"cannot use the registry at http://127\.0\.0\.1:1"):
        rollback.main()


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
    write_model(params, seed=1, mpjpe=50.0)
    Path("reports/evaluation/metrics.json").write_text("{}")
    with pytest.raises(MixsteError, match="dvc repro evaluate"):
        candidate(load())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (" 50.0", " NaN", "cannot register finetuned; found: mpjpe nan"),
        (" 50.0", " 51.0", "not of the same evaluation; found: a mean of 50.000 and of 51.000 mm"),
    ],
)
def test_scores_that_are_no_numbers_or_of_another_evaluation_are_refused(
    params: Params, old: str, new: str, message: str
):
    write_model(params, seed=1, mpjpe=50.0)
    metrics = Path("reports/evaluation/metrics.json")
    metrics.write_text(metrics.read_text().replace(old, new))
    with pytest.raises(MixsteError, match=message):
        candidate(params)


def test_scores_of_other_weights_are_refused(params: Params):
    write_model(params, seed=1, mpjpe=50.0)
    write_folder(params, seed=2)
    expected = r"metrics\.json holds the scores of other weights than models/finetuned/model\.safetensors"
    with pytest.raises(MixsteError, match=f"{expected}.*run evaluate again"):
        candidate(params)


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
    found = candidate(settings)
    assert (found.folder, found.scores["mpjpe"]) == (Path("models/authors"), 50.0)
    assert tags(settings, found)["licence"] == "theirs"


def test_a_masked_network_is_not_registered(params: Params):
    write_model(params, seed=1, mpjpe=50.0)
    config = Path("models/finetuned/config.json")
    config.write_text(config.read_text().replace('"kind": "lifter"', '"kind": "masked"'))
    with pytest.raises(MixsteError, match=r"cannot register models/finetuned.*masked"):
        candidate(load())
