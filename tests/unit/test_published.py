"""The published rows: what was printed is consistent in itself, and contradictions that are known are the only ones."""

from itertools import groupby

import pytest

from mixste.datasets import FORMATS
from mixste.published import BENCHMARKS, FOLDER, Row, load_published
from mixste.scoring.protocols import PROTOCOLS

ROWS = [(path.stem, row) for path in sorted(FOLDER.glob("*.yaml")) for row in load_published(path.stem)]
H36M = load_published("h36m")


def one(method, frames, detections="CPN"):
    found = [row for row in H36M if (row.method, row.frames, row.detections) == (method, frames, detections)]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("metric", ["mpjpe", "p_mpjpe"])
def test_printed_means_are_those_of_the_printed_actions(metric):
    """Fifteen figures and their mean, each rounded to 0.1: the two means differ by 0.1 at most."""
    with_actions = [row for row in H36M if getattr(row, f"{metric}_actions")]
    assert len(with_actions) == {"mpjpe": 18, "p_mpjpe": 4}[metric]
    for row in with_actions:
        actions = getattr(row, f"{metric}_actions")
        assert len(actions) == 15
        assert sum(actions.values()) / 15 == pytest.approx(getattr(row, metric), abs=0.1), row.method


def test_actions_have_the_names_of_the_data_set():
    assert {"Directions", "Photo", "SittingDown", "WalkDog", "WalkTogether"} <= set(one("MixSTE", 243).mpjpe_actions)
    assert one("MixSTE", 243).mpjpe_actions["Greeting"] == 39.7
    assert one("Improved MixSTE", None).p_mpjpe_actions["WalkDog"] == 31.5


def test_p_mpjpe_is_never_above_mpjpe():
    assert [row.method for _, row in ROWS if row.mpjpe and row.p_mpjpe and row.p_mpjpe > row.mpjpe] == []


def test_a_method_has_one_figure_for_each_setting_or_says_why_not():
    key = lambda row: (row.method, row.frames or 0, row.detections, row.protocol)  # noqa: E731
    twice = {name: list(rows) for name, rows in groupby(sorted(H36M, key=key), key)}
    assert [name[:2] for name, rows in twice.items() if len(rows) > 1] == [("StridedFormer", 243)]
    assert {row.mpjpe for row in H36M if (row.method, row.frames) == ("StridedFormer", 243)} == {43.7, 44.0}
    assert "42.7" in one("MixSTE", 81).remark, "two tables of one poster differ"


def test_costs_are_linear_macs_whatever_was_printed():
    """P-STMO prints twice the MACs; the networks themselves count 866.6 and 138 623.9 million."""
    assert one("P-STMO", 243).linear_macs == pytest.approx(866.6, rel=0.01)
    assert one("MixSTE", 243).linear_macs == 138623
    assert one("MHFormer", 243).linear_macs is None
    assert {row.cost_means for row in H36M} == {"linear MACs", "2 x MACs", "not stated"}


def test_every_row_says_what_it_rests_on_and_doubts_name_its_own_keys():
    for _, row in ROWS:
        assert row.evidence
        assert row.detections
        assert all(getattr(row, name) is not None for name in (*row.second_hand, *row.unverified))


def test_3dhp_by_hand():
    stcformer = [row for row in load_published("mpi_inf_3dhp") if row.method == "STCFormer"]
    assert [(row.frames, row.pck, row.auc, row.mpjpe) for row in stcformer] == [
        (9, 98.2, 81.5, 28.2),
        (27, 98.4, 83.4, 24.2),
        (81, 98.7, 83.9, 23.1),
    ]


def test_every_format_has_its_benchmark():
    assert set(BENCHMARKS) == set(FORMATS)
    assert {benchmark.name for benchmark in BENCHMARKS.values()} == set(PROTOCOLS) == {name for name, _ in ROWS}


def test_rows_of_another_2d_or_protocol_or_with_help_stand_apart_and_say_why():
    plain = Row(method="a", detections="CPN", protocol="camera", evidence="paper")
    assert plain.why_apart("cpn", "camera") == ""
    assert plain.why_apart("ground truth", "motionbert") == "2D: CPN; protocol: camera"
    oracle = Row(method="a", detections="CPN", protocol="camera", evidence="paper", apart="an oracle")
    assert oracle.why_apart("CPN", "camera") == "an oracle"
    apart = [row.method for row in H36M if row.detections == "CPN" and row.why_apart("CPN", "camera")]
    chosen_by_the_truth = ["D3DP, best of all", "KTPFormer with diffusion", "FinePOSE", "StarPose"]
    assert apart == ["StridedFormer", "P-STMO, refined", *chosen_by_the_truth]
    assert {row.mpjpe for row in H36M if row.apart and row.method == "StridedFormer"} == {43.7}
