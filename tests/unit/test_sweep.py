"""The sweep without Ray, with real trainings of tiny models: refusals, its folder, what a kill leaves, its report."""

import csv
import shlex
import shutil
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from mixste.errors import MixsteError
from mixste.recipe import ModelSettings
from mixste.settings.typed import build
from pipelines import sweep
from pipelines.params import load, write
from pipelines.settings import SweptKey
from pipelines.settings.data import GroupSettings, LabelSettings, SplitSettings, ValidationSettings
from pipelines.sweeping import report, tuning
from pipelines.sweeping.trial import run_trial, train_trial
from tests.unit.factories import finetune_settings, model_settings, optimiser_settings, sequences, write_projections

DEPTH, HEADS = SweptKey("model.depth", (1, 2)), SweptKey("model.heads", (2, 4))


class Killed(BaseException):
    """What nothing catches."""


class StoppedError(Exception):
    """What stops a trial early."""


@pytest.fixture
def params(workplace, monkeypatch):
    """Settings of a sweep over four tiny models, whose projections lie in the current folder; Ray is replaced."""
    for number, subject in enumerate(("S1", "S2", "S3")):
        data = replace(sequences((12, 10), seed=number), subjects=(subject, subject))
        write_projections(Path(f"datasets/projections/rig/sample-{subject}.parquet"), data, detections="simulated")
    monkeypatch.setattr(sweep.cluster, "connect", lambda address, dashboard=False: None)
    monkeypatch.setattr(sweep.cluster, "resources_per_worker", lambda settings: {"CPU": 1})
    monkeypatch.setattr(sweep.cluster, "room", lambda resources: 1)
    logged = SimpleNamespace(log_figure=lambda path: None, child=child)
    monkeypatch.setattr(sweep.tracking, "run", lambda *arguments, **options: nullcontext(logged))
    plain = load()
    split = SplitSettings(LabelSettings(("S1",)), ValidationSettings(("S2",)), GroupSettings(("S9",)))
    return replace(
        plain,
        data=replace(plain.data, split=split),
        model=model_settings(drop_path=0.0),
        finetune=finetune_settings(batch_size=2, validation_windows=2),
        sweep=replace(plain.sweep, space=(DEPTH, HEADS), trials=4, halving=None),
    )


class Child:
    """A run that only remembers."""

    def __init__(self):
        self.epochs, self.ended = [], []

    def log_params(self, params):
        self.params = dict(params)

    def log_metrics(self, metrics, step):
        if step not in self.epochs:
            self.epochs.append(step)

    def set_tags(self, tags):
        self.tags = tags

    def end(self, status):
        self.ended.append(status)


CHILDREN = {}


def child(name, tags, folder):
    return CHILDREN.setdefault(folder, Child())


@pytest.fixture(autouse=True)
def no_children():
    CHILDREN.clear()


def one_by_one(trials, work, follow, *, kill_at=None, **options):
    """Ray Tune in this process; trials of two heads are stopped after two epochs. It is killed at the given report."""
    reports = 0

    def report(record):
        nonlocal reports
        reports += 1
        if reports == kill_at:
            raise Killed
        if trial.values["model.heads"] == 2 and record["epoch"] == 2:
            raise StoppedError
        follow(trial)

    while (trial := trials.next()) is not None:
        follow(trial)
        with suppress(StoppedError):
            train_trial(work(trial), report)
        follow(trials.end(trial.number))


def run(params, monkeypatch, **options):
    monkeypatch.setattr(sweep, "load", lambda: params)
    monkeypatch.setattr(tuning, "run_trials", lambda *args, **more: one_by_one(*args, **more, **options))
    sweep.main()
    with (sweep.SWEEP / "sweep.csv").open() as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def test_a_sweep_leaves_its_report_and_a_child_a_trial(params, monkeypatch):
    rows = run(params, monkeypatch)
    files = ["best_model.yaml", "pareto.png", "sweep.csv", "sweep.md"]
    assert sorted(path.name for path in sweep.SWEEP.iterdir()) == files
    assert {row["model.depth"] + row["model.heads"] for row in rows} == {"12", "14", "22", "24"}
    assert {(row["model.heads"], row["epochs"], row["status"]) for row in rows} == {
        ("2", "2", "stopped early"),
        ("4", "3", "trained"),
    }
    assert [one.epochs for one in CHILDREN.values()] == [[*range(1, int(row["epochs"]) + 1)] for row in rows]
    assert all(one.ended == ["FINISHED"] for one in CHILDREN.values())


def test_a_killed_sweep_goes_on_to_the_same_results_with_nothing_logged_twice(params, monkeypatch):
    whole = run(params, monkeypatch)
    logged = [one.epochs for one in CHILDREN.values()]
    for kill_at in (1, 3, 6):
        CHILDREN.clear()
        shutil.rmtree(sweep.SWEEP)
        elsewhere = replace(params, cluster=replace(params.cluster, storage=f"elsewhere-{kill_at}"))
        with pytest.raises(Killed):
            run(elsewhere, monkeypatch, kill_at=kill_at)
        assert run(elsewhere, monkeypatch) == whole, f"killed at report {kill_at}"
        assert [one.epochs for one in CHILDREN.values()] == logged, f"killed at report {kill_at}"


def test_more_trials_go_on_with_a_sweep_and_anything_else_is_another(params):
    def folder(**changes):
        return sweep.Sweep(replace(params, **changes)).folder

    settings = params.sweep
    assert folder(sweep=replace(settings, trials=9, concurrency=1)) == folder()
    changed = [replace(settings, space=(DEPTH,)), replace(settings, searcher="grid")]
    others = [{"seed": 1}, *({"sweep": other} for other in changed)]
    assert len({folder(), *(folder(**changes) for changes in others)}) == 4


def test_trials_carry_out_their_steps_as_the_stages_do(params):
    stages = replace(params.cluster, accumulate=2, recompute=True)
    assert sweep.Sweep(replace(params, cluster=stages)).base.execution == stages.execution


def test_the_best_setting_is_a_model_that_the_named_command_uses(params, monkeypatch):
    rows = run(params, monkeypatch)
    best = min(rows, key=lambda row: float(row["validation_mpjpe"]))
    text = (sweep.SWEEP / "best_model.yaml").read_text()
    model = build(ModelSettings, yaml.safe_load(text), "best")
    assert (str(model.depth), str(model.heads), model.width) == (best["model.depth"], best["model.heads"], 16)
    Path("conf/model/best.yaml").write_text(text)
    (command,) = [line.removeprefix("#   make params ") for line in text.splitlines() if "make params" in line]
    again = write(shlex.split(command))
    assert (again.model, again.finetune, again.sweep.trials) == (model, params.finetune, 4)
    assert f"make params {command}" in (sweep.SWEEP / "sweep.md").read_text()


def test_a_sweep_ends_with_the_best_trial_where_the_rest_lies_and_how_to_use_it(params, monkeypatch, caplog):
    caplog.set_level("INFO")
    rows = run(params, monkeypatch)
    best = min(rows, key=lambda row: float(row["validation_mpjpe"]))
    chosen = ", ".join(f"{key} {best[key]}" for key in ("model.depth", "model.heads"))
    first, error, following, *commands = caplog.messages[-1].splitlines()
    assert first == f"best of 4 trials: trial {best['trial']}, {chosen}"
    assert error == f"validation MPJPE {float(best['validation_mpjpe']):.1f} mm; no test subject was read"
    assert following.startswith("next: reports/sweep/ (sweep.md, pareto.png, sweep.csv)")
    page = (sweep.SWEEP / "sweep.md").read_text()
    assert [*map(str.strip, commands)] == page.split("```")[1].splitlines()[1:]


def test_the_page_names_its_data_and_ranks_the_trials(params, monkeypatch):
    rows = run(params, monkeypatch)
    page = (sweep.SWEEP / "sweep.md").read_text()
    assert "synthetic motion, simulated detections" in page
    assert "of subjects S2; no test subject was read" in page
    table = [line.split(" | ") for line in page.splitlines() if line.endswith(("trained |", "stopped early |"))]
    errors = [float(cells[6]) for cells in table]
    assert errors == sorted(errors)
    assert len(table) == len(rows)
    assert "epoch 2, the last that every trial" in page
    assert "| model.heads | " in page


def failing(trials, work, follow, **options):
    """Ray Tune whose trials report nothing but fail if they can."""
    import ray.tune

    while (trial := trials.next()) is not None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ray.tune, "report", lambda record: None)
            run_trial({"work": work(trial)})
        follow(trials.end(trial.number))


def rates(params, *choices):
    training = finetune_settings(batch_size=2, validation_windows=2, optimiser=optimiser_settings(clip=None))
    space = (SweptKey("finetune.optimiser.lr", choices),)
    return replace(params, finetune=training, sweep=replace(params.sweep, space=space, searcher="grid"))


def test_a_failing_trial_is_named_and_the_others_count(params, monkeypatch):
    monkeypatch.setattr(sweep, "load", lambda: rates(params, 0.001, 1e30))
    monkeypatch.setattr(tuning, "run_trials", failing)
    sweep.main()
    page = (sweep.SWEEP / "sweep.md").read_text()
    assert "failed: training diverged in epoch 1" in page
    assert "Trial 0," in page
    assert [one.ended for one in CHILDREN.values()] == [["FINISHED"], ["FAILED"]]


@pytest.mark.parametrize(("autoscaling", "concurrency", "expected"), [(False, None, 1), (True, None, 6), (True, 2, 2)])
def test_as_many_trials_run_at_once_as_there_is_room_for_or_as_a_growing_cluster_is_asked_for(
    params, monkeypatch, autoscaling, concurrency, expected
):
    cluster = replace(params.cluster, autoscaling=autoscaling, workers=6, cpus_per_worker=1)
    chosen = replace(params, cluster=cluster, sweep=replace(params.sweep, concurrency=concurrency))
    asked = []
    monkeypatch.setattr(tuning, "run_trials", lambda *_, at_once, **__: asked.append(at_once))
    with pytest.raises(MixsteError, match="every trial"):
        sweep.Sweep(chosen).run(lambda trial: None)
    assert asked == [expected]


def test_a_sweep_whose_trials_all_fail_says_why(params, monkeypatch):
    monkeypatch.setattr(sweep, "load", lambda: rates(params, 1e30, 2e30))
    monkeypatch.setattr(tuning, "run_trials", failing)
    with pytest.raises(MixsteError, match=r"every trial of the sweep failed.*training diverged in epoch 1"):
        sweep.main()
    assert not sweep.SWEEP.exists()


def test_who_trains_chooses_nothing(params):
    split = replace(params.data.split, validation=ValidationSettings(("S1",), seen=True))
    training = replace(params.finetune, keep="last")
    pretraining = replace(params.pretrain, keep="last")
    data = replace(params.data, split=split)
    with pytest.raises(MixsteError, match="validation subjects who do not train"):
        sweep.Sweep(replace(params, data=data, finetune=training, pretrain=pretraining))


def test_a_folder_in_use_is_refused(params, monkeypatch):
    monkeypatch.setattr(sweep, "load", lambda: params)
    with sweep.alone(sweep.Sweep(params).folder), pytest.raises(MixsteError, match="is in use"):
        sweep.main()


def test_the_front_by_hand():
    points = [(1, 9.0), (2, 5.0), (2, 6.0), (3, 5.0), (4, 1.0), (4, 1.0)]
    assert report.front(points) == [True, True, False, False, True, True]
