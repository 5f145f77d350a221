"""The label-efficiency study without Ray: budgets, chosen rates, what is trained once, the report."""

import csv
import json
from collections import Counter
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from mixste.errors import MixsteError
from mixste.models.checkpoint import WEIGHTS, read_config, write_tensors
from mixste.recipe import PretrainSettings
from mixste.training.jobs import TrainingJob
from mixste.training.state import FILE, State
from pipelines import study
from pipelines.params import load
from pipelines.settings import ArmRates, NamedLabels, StudySettings
from pipelines.settings.data import GroupSettings, LabelSettings, SplitSettings, ValidationSettings
from pipelines.studying import report, trials
from tests.unit.factories import (
    finetune_settings,
    model_settings,
    mpm_settings,
    pretrain_settings,
    sequences,
    write_projections,
)

SUBJECTS = ("S1", "S2", "S3", "S4")
RATES = ArmRates(scratch=(0.004, 0.002), longer=(0.003, 0.001), pretrained=(0.0005,))
# mm, by learning rate: the slower rate wins from scratch, the faster one with the longer budget
VALIDATION = {0.004: 90.0, 0.002: 80.0, 0.003: 70.0, 0.001: 75.0, 0.0005: 60.0}


def in_process(function, items, title, *, address=None):
    return [function(item) for item in items]


@pytest.fixture
def params(workplace, monkeypatch):
    """Settings of a small study of four subjects, whose projections lie in the current folder."""
    for number, subject in enumerate(SUBJECTS):
        data = replace(sequences((12, 10), seed=number), subjects=(subject, subject))
        for kind, detections in (("random", "exact"), ("rig", "simulated")):
            path = Path(f"datasets/projections/{kind}/sample-{subject}.parquet")
            write_projections(path, data, detections=detections)
    monkeypatch.setattr(trials, "fan_out", in_process)
    plain = load()
    labels, validation, test = LabelSettings(("S1",)), ValidationSettings(("S3",)), GroupSettings(("S4",))
    amount = {"batch_size": 2, "validation_windows": 2}
    return replace(
        plain,
        data=replace(plain.data, split=SplitSettings(labels, validation, test)),
        model=model_settings(),
        pretrain=pretrain_settings(epochs=2, windows_per_epoch=6, **amount),
        finetune=finetune_settings(epochs=3, windows_per_epoch=4, **amount),
        study=StudySettings(
            labels=(NamedLabels(("S2", "S1"), name="two"), NamedLabels(("S1",), name="one")),
            seeds=(7, 3),
            learning_rates=RATES,
        ),
    )


@pytest.fixture
def trained(monkeypatch):
    """The jobs that were trained, by folder; nothing is trained, and validation errors are those of VALIDATION."""
    jobs = {}

    def run_job(job, folder, provenance, execution):
        assert folder not in jobs
        jobs[folder] = job
        pretrains = isinstance(job.training, PretrainSettings)
        error = 100.0 if pretrains else VALIDATION[job.training.optimiser.lr]
        state = State(epoch=1, kept_epoch=1, kept_score=error)
        write_tensors(folder / FILE, {}, {"progress": json.dumps(asdict(state))})
        write_tensors(folder / "model" / WEIGHTS, {"seed": torch.tensor([job.seed])})
        return error

    monkeypatch.setattr(trials, "run_job", run_job)
    monkeypatch.setattr(trials, "scored", lambda work: work[0])
    return jobs


def tunings(jobs):
    return [job for job in jobs.values() if not isinstance(job.training, PretrainSettings)]


def test_rows_are_in_the_order_of_conf_and_each_arm_has_its_better_rate(params, trained):
    rows = trials.Study(params).run()
    found = [(row["seed"], row["labels"], row["arm"], row["lr"]) for row in rows]
    rate = params.pretrain.optimiser.lr
    expected = [(seed, "", "pre-training", rate) for seed in (7, 3)]
    best = {"scratch": 0.002, "scratch, longer": 0.003, "pre-trained": 0.0005}
    expected += [(seed, name, arm, lr) for seed in (7, 3) for name in ("two", "one") for arm, lr in best.items()]
    assert found == expected


def test_masked_pre_training_is_trained_and_started_from_but_not_scored(params, trained):
    masked = mpm_settings(epochs=2, windows_per_epoch=6, views="rig")
    rows = trials.Study(replace(params, pretrain=masked)).run()
    assert {row["arm"] for row in rows} == {"scratch", "scratch, longer", "pre-trained"}
    pretrainings = [job for job in trained.values() if job.masks]
    assert [job.seed for job in pretrainings] == [7, 3]
    assert {path.parent.name for job in pretrainings for path in (*job.train, *job.validation)} == {"rig"}
    assert {path.stem for path in pretrainings[0].train} == {"sample-S1", "sample-S2"}


def test_the_longer_arm_sees_the_windows_of_pre_training_too(params, trained):
    rows = trials.Study(params).run()
    windows = {row["arm"]: row["windows"] for row in rows}
    assert windows == {"pre-training": 12, "scratch": 12, "scratch, longer": 24, "pre-trained": 12}
    assert {job.training.epochs for job in tunings(trained)} == {3, 6}


def test_every_rate_is_tried_with_the_first_seed_and_only_the_better_with_the_others(params, trained):
    trials.Study(params).run()
    tried = Counter((job.seed, job.training.optimiser.lr) for job in tunings(trained))
    assert tried == {
        **{(7, lr): 2 for lr in VALIDATION},
        **{(3, lr): 2 for lr in (0.002, 0.003, 0.0005)},
    }


def test_the_pre_trained_arm_starts_from_the_pre_training_of_its_seed(params, trained):
    trials.Study(params).run()
    parents = {job.seed: job.parent for job in tunings(trained) if job.parent}
    assert {seed: trained[parent.parent].seed for seed, parent in parents.items()} == {7: 7, 3: 3}
    assert all(bool(job.parent) == (job.training.optimiser.lr == 0.0005) for job in tunings(trained))


def test_labels_decide_what_is_tuned_on_and_nobody_pre_trains_on_validation_or_test(params, trained):
    trials.Study(params).run()
    seen = {tuple(path.stem for path in job.train) for job in tunings(trained)}
    assert seen == {("sample-S1",), ("sample-S1", "sample-S2")}
    pretrained = [job for job in trained.values() if isinstance(job.training, PretrainSettings)]
    assert {path.stem for job in pretrained for path in job.train} == {"sample-S1", "sample-S2"}
    assert {path.stem for job in trained.values() for path in job.validation} == {"sample-S3"}


def test_sets_of_labels_that_differ_in_name_alone_are_trained_once(params, trained):
    alike = tuple(NamedLabels(("S1",), name=name) for name in ("one", "again"))
    rows = trials.Study(replace(params, study=replace(params.study, labels=alike))).run()
    assert [row["labels"] for row in rows[2:8]] == ["one"] * 3 + ["again"] * 3
    assert len(trained) == 2 + 5 + 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"study": None}, r"no study of data sample.*conf/study/sample\.yaml"),
        ({"pretrain": {"windows_per_epoch": None}}, r"budgets.*found: pretrain\.windows_per_epoch: null"),
        ({"finetune": {"windows_per_epoch": None}}, r"budgets.*make params finetune\.windows_per_epoch=2048"),
        ({"study": {"labels": (NamedLabels(("S1", "S4"), name="test"),)}}, "S4"),
        ({"study": {"labels": (NamedLabels(("S9",), name="lost"),)}}, "no projections of subject S9"),
    ],
)
def test_a_study_that_cannot_be_is_refused_before_anything_is_trained(params, trained, changes, message):
    for section, values in changes.items():
        params = replace(params, **{section: values and replace(getattr(params, section), **values)})
    with pytest.raises(MixsteError, match=f"(?s){message}"):
        trials.Study(params).run()
    assert not trained


@pytest.fixture
def one_of_each(params, monkeypatch):
    """`study.main` of one set of labels, one seed and one rate, with real trainings, whose jobs are listed."""
    trained, real = [], TrainingJob.trainer

    def trainer(job, **options):
        trained.append(job)
        return real(job, **options)

    rates = ArmRates(scratch=(0.004,), longer=(0.004,), pretrained=(0.0005,))
    small = StudySettings(labels=params.study.labels[1:], seeds=(0,), learning_rates=rates)
    monkeypatch.setattr(TrainingJob, "trainer", trainer)
    monkeypatch.setattr(study, "load", lambda: replace(params, study=small))
    logged = []
    run = SimpleNamespace(log_figure=lambda path: logged.append(path.name))
    monkeypatch.setattr(study.tracking, "run", lambda *arguments, **options: nullcontext(run))
    return SimpleNamespace(params=params, trained=trained, logged=logged)


def test_a_study_ends_with_its_result_and_where_it_lies(one_of_each, caplog):
    caplog.set_level("INFO")
    study.main()
    head, *lines, last = caplog.messages[-1].splitlines()
    assert head == "test MPJPE in mm, mean over seeds; synthetic motion, simulated detections"
    names = [line.rsplit(maxsplit=1)[0].strip() for line in lines]
    assert names == ["none: pre-training", "one: scratch", "one: scratch, longer", "one: pre-trained"]
    assert last == "next: reports/study/ (table.md, label_efficiency.png, trials.csv), `make ui`"


def test_a_study_started_again_trains_nothing_twice_and_reports_the_same(one_of_each):
    study.main()
    assert len(one_of_each.trained) == 4
    reports = {path.name: path.read_bytes() for path in study.STUDY.iterdir()}
    assert sorted(reports) == ["label_efficiency.png", "study.json", "table.md", "trials.csv"]
    assert one_of_each.logged == sorted(reports)
    study.main()
    assert len(one_of_each.trained) == 4
    assert {path.name: path.read_bytes() for path in study.STUDY.iterdir()} == reports


def test_the_report_says_what_it_rests_on(one_of_each):
    study.main()
    about = json.loads((study.STUDY / "study.json").read_text())
    assert (about["synthetic"], about["detections"], about["precision"]) == (True, "simulated", "fp32")
    assert (about["commit"], about["dirty"]) == ("unknown", True)  # the test's folder is no checkout
    assert about["settings"]["study"]["learning_rates"]["longer"] == [0.004]
    assert about["settings"]["model"] == asdict(one_of_each.params.model)
    assert about["settings"]["pretrain"]["windows_per_epoch"] == 6
    assert about["settings"]["finetune"]["epochs"] == 3
    for row in about["trials"]:
        assert np.isfinite([row[key] for key in ("mpjpe", "p_mpjpe", "mpjpe_group_mean", "subjects.S4")]).all()
        assert 0 < row["kept_epoch"] <= 6
    text = (study.STUDY / "table.md").read_text()
    source = f"commit unknown with uncommitted changes, test data {about['test_data']}, fp32."
    assert text.endswith(f"MPJPE in mm; synthetic motion, simulated detections; data sample, {source}\n")
    assert "{" not in text
    with (study.STUDY / "trials.csv").open() as file:
        assert [row["lr"] for row in csv.DictReader(file)] == ["0.003", "0.004", "0.004", "0.0005"]


def test_a_model_of_the_study_says_where_it_comes_from(one_of_each):
    study.main()
    provenance = [read_config(folder / "model").provenance for folder in Path("runs/study").glob("*/")]
    assert all(own["licence"] == one_of_each.params.data.licence for own in provenance)
    assert {own["labels"] for own in provenance} == {"", "one"}


ROWS = [
    {
        "labels": labels,
        "arm": arm,
        "seed": seed,
        "lr": lr,
        "mpjpe": mpjpe,
        "mpjpe_group_mean": mpjpe + 2,
        "p_mpjpe": 30.0,
    }
    | {"subjects.S4": mpjpe, "actions.walk": 2 * mpjpe, "kept_epoch": 1}
    for labels, arm, seed, lr, mpjpe in (
        ("", "pre-training", 0, 0.002, 90.0),
        ("one", "scratch", 0, 0.004, 80.0),
        ("one", "pre-trained", 0, 0.0005, 60.0),
        ("one", "scratch", 1, 0.004, 81.0),
        ("one", "pre-trained", 1, 0.0005, 60.5),
    )
]


def test_what_is_told_by_hand():
    about = {"data": "sample", "synthetic": True, "detections": "simulated"}
    assert report.told(Path("here"), ROWS, about).splitlines()[1:4] == [
        "  none: pre-training  90.0",
        "  one: scratch        80.5",
        "  one: pre-trained    60.2",
    ]


def test_the_table_by_hand():
    assert report.table(ROWS).splitlines() == [
        "| labels | arm | seeds | mean | mean over actions | P-MPJPE | S4 | walk |",
        "|---|---|---|---|---|---|---|---|",
        "| none | pre-training (lr 0.002) | 90.0 | 90.0 | 92.0 | 30.0 | 90.0 | 180.0 |",
        "| one | scratch (lr 0.004) | 80.0, 81.0 | 80.5 | 82.5 | 30.0 | 80.5 | 161.0 |",
        "| one | pre-trained (lr 0.0005) | 60.0, 60.5 | 60.2 | 62.2 | 30.0 | 60.2 | 120.5 |",
    ]
