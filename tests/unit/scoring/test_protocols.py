"""Protocols by hand-computed cases, and MixSTE's own scoring against a plain numpy one."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from mixste.errors import MixsteError
from mixste.inference import lift, lift_sequences
from mixste.recipe import ARCHITECTURES
from mixste.scoring.protocols import (
    AS_PUBLISHED,
    NEAR_JOINTS,
    PROTOCOLS,
    RULES,
    as_published,
    in_chunks,
    motionberts_clips,
    scoring_as_published,
    summary,
    walks_and_jogs,
)
from mixste.scoring.scores import ERRORS, Names, Scores, score
from mixste.skeleton import load_skeleton
from tests.unit.factories import model, sequences

H36M, MPI, HUMANEVA = (PROTOCOLS[name] for name in ("h36m", "mpi_inf_3dhp", "humaneva"))


def made(errors, frames, names, metrics=("mpjpe", "p_mpjpe", "n_mpjpe", "mpjve")):
    """Scores of sequences whose every metric is one error."""
    counts = np.repeat(np.array(frames, dtype=float)[:, None], len(metrics), axis=1)
    totals = np.array(errors, dtype=float)[:, None] * counts
    return Scores(names, metrics, totals, counts, np.repeat(totals[:, :1], 17, axis=1))


def truth(data):
    return data.joints - data.joints[:, data.root : data.root + 1]


def test_the_fourteen_joints_are_the_first_of_mpi17_and_are_in_h36m17():
    assert sorted(load_skeleton("mpi17").index(name) for name in NEAR_JOINTS) == list(range(14))
    assert {load_skeleton("h36m17").index(name) for name in NEAR_JOINTS} == set(range(17)) - {0, 7, 9}


def test_human36m_weighs_frames_within_an_action_and_actions_alike():
    names = Names(("a/0", "b/0", "c/0"), ("S9", "S11", "S9"), ("Photo", "Photo", "Eating"))
    found = summary(made([10, 40, 100], [30, 10, 5], names), H36M)
    assert found["groups"]["Photo"]["mpjpe"] == (30 * 10 + 10 * 40) / 40
    assert found["mean"]["mpjpe"] == (17.5 + 100) / 2
    assert found["mean"]["frames"] == 45
    assert found["frame_mean"]["mpjpe"] == pytest.approx((300 + 400 + 500) / 45)


def test_the_same_predictions_come_to_the_same_scores():
    """If not, and rightly: raise RULES with the numbers here, so that models are not compared across the change."""
    numbers = torch.arange(11 * 17 * 3, dtype=torch.float64).reshape(11, 17, 3)
    told = {"subjects": ("S1", "S2"), "actions": ("Walking", "Jog"), "valid": torch.arange(11) != 7}
    data = replace(sequences((6, 5)), joints=torch.sin(numbers), **told)
    predicted = truth(data) + 0.1 * torch.cos(3 * numbers)
    found = {name: summary(score(predicted, data, own.scoring), own)["mean"] for name, own in PROTOCOLS.items()}
    pairs = {"mpjpe": 112.344, "p_mpjpe": 101.022, "n_mpjpe": 112.269, "mpjve": 199.720, "frames": 10}
    near = {
        "mpjpe": 105.443,
        "p_mpjpe": 95.356,
        "n_mpjpe": 105.363,
        "mpjve": 187.510,
        "pck": 67.143,
        "auc": 28.802,
        "frames": 10,
    }
    assert RULES == 1
    assert found["h36m"] == pytest.approx(pairs, rel=1e-5)
    assert found["humaneva"] == pytest.approx(pairs, rel=1e-5)
    assert found["mpi_inf_3dhp"] == pytest.approx(near, rel=1e-5)


def test_3dhp_weighs_its_sequences_by_their_valid_frames_and_gives_the_plain_mean_too():
    names = Names(("TS1/0", "TS2/0"), ("TS1", "TS2"), ("x", "x"))
    found = summary(made([10, 40], [30, 10], names), MPI)
    assert found["mean"]["mpjpe"] == 17.5
    assert found["group_mean"]["mpjpe"] == 25
    assert {name: own["frames"] for name, own in found["groups"].items()} == {"TS1": 30, "TS2": 10}


def test_3dhp_by_hand_from_poses_to_percent():
    """Two sequences, some frames not valid; the root is predicted 1 m away and does not count."""
    data = replace(
        sequences((3, 2)),
        skeleton="mpi17",
        subjects=("TS1", "TS2"),
        valid=torch.tensor([True, True, False, True, False]),
    )
    predicted = truth(data)
    predicted[:, 14] += 1.0
    predicted[[2, 4]] += 9.0
    predicted[1, 16, 0] += 0.170  # one of the three joints without PCK
    predicted[3, :7, 2] += 0.200  # half of the fourteen
    found = summary(score(predicted, data, MPI.scoring), MPI)
    assert found["mean"]["mpjpe"] == pytest.approx((0 + 10 + 1400 / 17) / 3, rel=1e-5)
    assert found["mean"]["pck"] == pytest.approx((100 + 100 + 50) / 3)
    assert found["mean"]["auc"] == pytest.approx((100 + 100 + 50) / 3 * 30 / 31)
    assert found["group_mean"]["mpjpe"] == pytest.approx((5 + 1400 / 17) / 2, rel=1e-5)
    assert found["group_mean"]["pck"] == pytest.approx((100 + 50) / 2)
    assert found["mean"]["frames"] == 3


def test_humaneva_is_walking_and_jogging_of_each_subject_alike():
    names = Names(
        ("a/0", "b/0", "c/0", "d/0"),
        ("Validate_S1", "Validate_S1", "Validate_S2", "Validate_S3"),
        ("Walking", "Walking", "Jog", "Box"),
    )
    assert walks_and_jogs(names) == ("S1 Walk", "S1 Walk", "S2 Jog", None)
    found = summary(made([10, 40, 100, 999], [30, 10, 5, 5], names), HUMANEVA)
    assert found["mean"]["p_mpjpe"] == (17.5 + 100) / 2
    assert found["mean"]["frames"] == 45


def test_a_data_set_without_anything_of_the_protocol_is_refused():
    names = Names(("a/0",), ("S1",), ("Box",))
    with pytest.raises(MixsteError, match="nothing to score"):
        summary(made([10], [5], names), HUMANEVA)


def test_a_sequence_without_valid_frames_is_no_group():
    names = Names(("a/0", "b/0"), ("TS1", "TS2"), ("x", "x"))
    assert list(summary(made([10, 0], [30, 0], names), MPI)["groups"]) == ["TS1"]


@pytest.mark.parametrize("protocol", [H36M, MPI])
def test_a_clip_is_one_motion_and_its_weight_is_its_share_in_the_mean(protocol):
    names = Names(("a/0", "a/1", "a.1/0", "b/0", "c/0"), ("S1", "S1", "S1", "S1", "S2"), ("x", "x", "x", "y", "y"))
    found = summary(made([10, 20, 40, 50, 70], [4, 2, 2, 1, 7], names), protocol)
    rows = found["clips"]
    assert [(row["clip"], row["frames"]) for row in rows] == [("S1/a", 8), ("S1/b", 1), ("S2/c", 7)]
    assert rows[0]["mpjpe"] == pytest.approx((4 * 10 + 2 * 20 + 2 * 40) / 8)
    assert sum(row["weight"] for row in rows) == pytest.approx(1)
    mean = sum(row["weight"] * row[protocol.headline] for row in rows)
    assert mean == pytest.approx(found["mean"][protocol.headline])


def test_trials_apart_and_those_of_no_group_are_no_clips():
    names = Names(("Walking/0", "Box/0", "Jog/0"), ("S1", "S1", "S1"), ("Walk", "Box", "Jog"))
    found = summary(made([10, 20, 30], [3, 3, 3], names), PROTOCOLS["humaneva"], ("S1/Jog",))
    assert [(row["group"], row["clip"]) for row in found["clips"]] == [("S1 Walk", "S1/Walking")]


def test_every_architecture_has_its_own_codes_scoring():
    assert set(AS_PUBLISHED) == set(ARCHITECTURES)


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (9, [*range(9)]),
        (18, [*range(18)]),
        (12, [*range(9), *range(3, 12)]),
        (5, [0, 1, 2, 3, 4, 4, 4, 4, 4]),
        (1, [0] * 9),
    ],
)
def test_chunks_are_whole_windows_the_last_one_at_the_end(length, expected):
    data = sequences((length,))
    chunks = in_chunks(data, 9)
    assert torch.equal(chunks.joints, data.joints[expected])
    assert torch.equal(chunks.keypoints, data.keypoints[expected])


def test_chunks_keep_to_their_sequence():
    data = replace(sequences((12, 5, 9)), valid=torch.arange(26) != 25, scale=torch.arange(26.0))
    chunks = in_chunks(data, 9)
    assert chunks.offsets.tolist() == [0, 18, 27, 36]
    assert chunks.clips == data.clips
    assert chunks.scale[18:27].tolist() == [12, 13, 14, 15, 16, 16, 16, 16, 16]
    assert chunks.valid.sum() == 35


def test_motionberts_authors_drop_tails_and_three_videos():
    names = ("s_09_act_05_subact_01", "s_09_act_05_subact_02", "s_11_act_02_subact_01", "s_11_act_02_subact_02")
    data = replace(sequences((500, 300, 243, 100)), clips=names, scale=torch.arange(1143.0))
    found = motionberts_clips(data)
    assert found.clips == (names[0], *names[2:])
    assert found.offsets.tolist() == [0, 486, 729, 829]
    assert torch.equal(found.scale, data.scale[[*range(486), *range(800, 1143)]])


def plain_mixste(network, data):
    """MixSTE's figures by frames of its chunks, in plain numpy, sequence by sequence: MPJPE and MPJVE."""
    frames, joints, errors, steps = 0, truth(data).double().numpy(), 0.0, 0.0
    for low, high in data.offsets.unfold(0, 2, 1).tolist():
        inputs, targets = data.keypoints[low:high].numpy(), joints[low:high]
        size = network.settings.frames
        if len(inputs) < size:
            rows = [np.minimum(np.arange(size), len(inputs) - 1)]
        else:
            whole = len(inputs) // size
            rows = [np.arange(size) + size * number for number in range(whole)]
            if len(inputs) % size:
                rows.append(np.arange(len(inputs) - size, len(inputs)))
        windows = torch.from_numpy(np.stack([inputs[own] for own in rows]))
        predicted = lift(network, windows).double().numpy().reshape(-1, 17, 3)
        target = np.concatenate([targets[own] for own in rows])
        count = len(target)
        errors += count * np.sqrt(((predicted - target) ** 2).sum(-1)).mean()
        moved = np.diff(predicted, axis=0) - np.diff(target, axis=0)
        steps += count * np.sqrt((moved**2).sum(-1)).mean()
        frames += count
    return 1000 * errors / frames, 1000 * steps / frames


def test_mixstes_own_scoring_agrees_with_a_plain_one():
    network, data = model(), sequences((30, 9, 5, 18, 23))
    scoring = scoring_as_published(H36M, AS_PUBLISHED["mixste"])
    chunks = in_chunks(data, 9)
    mean = score(lift_sequences(network, chunks, flip=None), chunks, scoring).mean()
    assert (mean["mpjpe"], mean["mpjve"]) == pytest.approx(plain_mixste(network, data), rel=1e-5)
    ours = score(lift_sequences(network, data, flip=None), data).mean()
    assert abs(ours["mpjpe"] - mean["mpjpe"]) > 0.1, "and is not ours"
    assert mean["mpjve"] > ours["mpjve"], "jumps from chunk to chunk count"


def test_roots_are_set_to_zero_where_the_code_or_the_data_set_does():
    zero = {name: as_published(*name).zero_root for name in product(AS_PUBLISHED, (H36M, MPI), ("h36m", "motionbert"))}
    assert [name for name, own in zero.items() if not own] == [("mixste", H36M, "h36m")]
    for name in zero:
        assert scoring_as_published(name[1], as_published(*name)).zero_root == zero[name]
    assert scoring_as_published(MPI, as_published("pstmo", MPI)).near == NEAR_JOINTS


def test_what_is_said_of_the_root_is_what_is_done_to_it():
    assert as_published("mixste", H36M, "h36m").text.endswith("predicted root")
    assert as_published("mixste", H36M, "motionbert").text.endswith("root at zero")
    assert as_published("mixste", MPI, "mpi_inf_3dhp").text.endswith("root at zero")


@pytest.fixture
def scores():
    """Three clips of one frame more than steps: errors of 10, 20 and 90 mm."""
    errors = np.array([10.0, 20.0, 90.0])
    frames = np.array([4, 4, 4])
    return Scores(
        names=Names(("a/0", "b/0", "b.1/0"), ("S", "S", "S"), ("walk", "run", "run")),
        metrics=ERRORS,
        totals=np.repeat((errors * frames)[:, None], 4, axis=1),
        counts=np.repeat(frames[:, None], 4, axis=1),
        joint_totals=np.repeat((errors * frames)[:, None], 17, axis=1),
    )


def test_a_trial_apart_is_in_no_mean_whatever_its_pieces(scores):
    found = summary(scores, PROTOCOLS["h36m"], ["S/b"])
    assert found["frame_mean"]["mpjpe"] == found["mean"]["mpjpe"] == 10.0
    assert found["mean"]["frames"] == 4
    assert found["per_joint"].tolist() == [10.0] * 17
    assert found["apart"]["S/b"]["mpjpe"] == 55.0


def test_actions_count_alike_whatever_their_frames(scores):
    assert summary(scores, PROTOCOLS["h36m"], [])["mean"]["mpjpe"] == pytest.approx((10 + 55) / 2)


def test_a_trial_apart_that_is_not_there_is_named(scores):
    with pytest.raises(MixsteError, match="S/c"):
        summary(scores, PROTOCOLS["h36m"], ["S/c"])
