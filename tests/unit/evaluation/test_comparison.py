"""The table: our rows beside the published ones of the same data, the others apart."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from mixste.models.checkpoint import ModelConfig
from pipelines.evaluation.comparison import APART, BESIDE, OURS, lines, page
from pipelines.evaluation.scoring import Evaluated
from pipelines.process.watching import Watch
from pipelines.settings.composing import compose
from tests.unit.factories import FPS, SKELETON, model_settings, sequences

CONF = Path(__file__).parents[3] / "conf"


def evaluated(mpjpe, **metrics):
    mean = {"mpjpe": mpjpe, "p_mpjpe": mpjpe - 10, **metrics, "frames": 100}
    summary = {"mean": mean, "groups": {"Directions": mean}}
    published = {"mean": {**mean, "mpjpe": mpjpe + 0.3}, "groups": {"Directions": mean}}
    config = ModelConfig(model=model_settings(), skeleton=SKELETON, fps=FPS)
    costs = (33_783_811, 2_000_000, 3_456_789)
    return Evaluated(Path("models/x"), config, torch.zeros(0), summary, published, *costs, Watch())


def made(kind, detections, subjects=("S9", "S11"), apart=(), **metrics):
    """Rows and page for a labelled data set of a format, with 2D of a detector; without a format, for captures."""
    labelled = SimpleNamespace(format=kind) if kind else None
    split = SimpleNamespace(test=SimpleNamespace(subjects=subjects), apart=apart)
    params = SimpleNamespace(data=SimpleNamespace(labelled=labelled, protocol="h36m", split=split))
    rows = lines({"finetuned": evaluated(42.0, **metrics)}, replace(sequences(), detections=detections), params)
    return rows, page(rows, "title", "mpjpe")


def methods(rows, part):
    return [(row["method"], row["T"]) for row in rows if row["part"] == part]


def test_cpn_stands_beside_cpn_of_the_same_protocol():
    rows, text = made("h36m", "CPN")
    assert methods(rows, OURS) == [("finetuned, every frame once", 9), ("finetuned, as published", 9)]
    assert ("MixSTE", 243) in methods(rows, BESIDE)
    assert {row["2D"] for row in rows if row["part"] == BESIDE} == {"CPN"}
    assert ("MotionBERT, fine-tuned", 243) in methods(rows, APART)
    head, apart = text.split("## Not comparable")
    assert "| MixSTE | CVPR'22 | CPN | camera | 243 | 33.61 | 138623.0 |  | 40.9 | 32.6 [2nd] |" in head
    assert "| MotionBERT" not in head
    assert "| 2D: SH; protocol: motionbert | MotionBERT, fine-tuned |" in apart
    assert "many hypotheses, chosen by the truth" in apart
    assert "Each is scored twice" in head


def test_ours_are_bold_with_both_macs_and_in_the_order_of_errors():
    _, text = made("h36m", "CPN")
    row = "| **finetuned, every frame once** |  | **CPN** | **camera** | **9** | **33.78** | **2.0** | **3.5** |"
    assert row in text
    assert (
        text.index("MixSTE | CVPR'22 | CPN | camera | 81")
        < text.index(row)
        < text.index("STCFormer | CVPR'23 | CPN | camera | 243")
    )


def test_what_was_not_scored_as_published_is_not_said_to_be():
    once = replace(evaluated(42.0), as_published=None)
    split = SimpleNamespace(test=SimpleNamespace(subjects=("S9", "S11")), apart=())
    data = SimpleNamespace(labelled=SimpleNamespace(format="h36m"), protocol="h36m", split=split)
    rows = lines({"finetuned": once}, replace(sequences(), detections="CPN"), SimpleNamespace(data=data))
    assert methods(rows, OURS) == [("finetuned, every frame once", 9)]
    assert "twice" not in page(rows, "title", "mpjpe")


def test_ground_truth_and_motionberts_data_have_their_own_rows():
    assert methods(made("h36m", "ground truth")[0], BESIDE)[:2] == [("MixSTE", 81), ("MixSTE", 243)]
    beside = dict(methods(made("motionbert", "SH")[0], BESIDE))
    assert beside["TCPFormer"] == 243
    assert "MixSTE" not in beside


def test_results_of_other_test_subjects_stand_beside_nothing():
    rows, _ = made("h36m", "CPN", ("S9",))
    assert methods(rows, BESIDE) == []
    assert {row["why apart"] for row in rows if row["method"] == "STCFormer-L"} == {"our other test set"}


def test_results_without_a_trial_stand_beside_nothing_unless_nobodys_figures_hold_it():
    assert methods(made("h36m", "CPN", apart=("S9/Photo",))[0], BESIDE) == []
    sh = compose(["data=h36m_sh", "pretrain.keep=last", "finetune.keep=last"], CONF).data
    assert len(sh.split.apart) == 3
    rows, _ = made("motionbert", sh.labelled.detections, apart=tuple(sh.split.apart))
    assert ("TCPFormer", 243) in methods(rows, BESIDE)


def test_errors_by_action_are_those_of_rows_that_have_them():
    _, text = made("h36m", "CPN")
    by_action = text.split("## MPJPE by action")[1].split("##")[0]
    assert "| method | T | Directions |" in by_action
    assert "| MixSTE | 243 | 37.6 |" in by_action
    assert "| **finetuned, every frame once** | **9** | **42.0** |" in by_action
    assert "D3DP" not in by_action


def test_3dhp_has_pck_and_auc_and_says_where_a_protocol_is_not_known():
    rows, text = made("mpi_inf_3dhp", "ground truth", tuple(f"TS{n}" for n in range(1, 7)), pck=98.0, auc=80.0)
    assert methods(rows, BESIDE) == [("P-STMO", 81), ("STCFormer", 9), ("STCFormer", 27), ("STCFormer", 81)]
    assert "| PCK | AUC |" in text
    assert "| protocol: not stated | MixSTE |" in text


@pytest.mark.parametrize("detections", ["simulated", "CPN"])
def test_data_without_published_figures_hold_our_rows_only_and_say_so(detections):
    rows, text = made(None, detections)
    assert {row["part"] for row in rows} == {OURS}
    assert "only our own rows" in text
    assert "MixSTE" not in text


def test_every_row_has_the_same_columns_and_the_same_bytes_come_out_again():
    rows, text = made("h36m", "CPN")
    assert len({tuple(row) for row in rows}) == 1
    assert None not in {value for row in rows for value in row.values()}
    assert made("h36m", "CPN") == (rows, text)
