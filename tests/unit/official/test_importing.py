"""Files as the authors write them become models whose outputs are those of the papers' formulas."""

import json

import pytest
import torch

from mixste.errors import MixsteError
from mixste.lifter import Lifter
from mixste.models import build_masked, build_model, stcformer
from mixste.models.checkpoint import WEIGHTS, load_model, load_weights, read_config, read_tensors
from mixste.models.pstmo import strides
from mixste.models.transfer import transfer
from mixste.official.importing import import_checkpoint
from tests.unit.official import layouts, plain

STRIDES = {1: (1, 1, 1), 9: (1, 3, 3), 27: (3, 3, 3), 43: (3, 3, 3, 3), 81: (3, 3, 3, 3), 243: (3,) * 5}


def keypoints(frames=9, joints=17, channels=2):
    return torch.rand((2, frames, joints, channels), generator=torch.Generator().manual_seed(1)) * 2 - 1


def imported(path, folder, **options):
    import_checkpoint(path, folder, **options)
    return load_model(folder)[0]


def assert_equal(ours, theirs):
    """Within 1e-5 for poses of up to 2 m, and as near for their size where random weights give more.

    float32 rounds an output of 16 to 1e-6 and sums that lead to it to 1e-5: how many threads add them up would decide.
    """
    largest = theirs.abs().max().item()
    assert largest > 0.1
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * max(1, largest / 2))


@pytest.mark.parametrize(
    ("frames", "joints", "channels"), [(9, 17, 2), (27, 17, 2), (9, 15, 2), (9, 16, 3), (1, 17, 2)]
)
def test_mixste_lifts_as_its_formulas_do(tmp_path, frames, joints, channels):
    weights = layouts.random_weights(layouts.mixste(32, 3, frames, joints, channels))
    model = imported(layouts.save_mixste(tmp_path / "best_epoch.bin", weights), tmp_path / "out")
    x = keypoints(frames, joints, channels)
    with torch.no_grad():
        assert_equal(model(x), plain.mixste(x, weights))


@pytest.mark.parametrize("frames", [9, 27])
def test_stcformer_lifts_as_its_formulas_do(tmp_path, frames):
    weights = layouts.random_weights(layouts.stcformer(32, 3))
    path = layouts.save_bare(tmp_path / "no_refine_6_4406.pth", weights)
    model = imported(path, tmp_path / "out", frames=frames)
    x = keypoints(frames)
    with torch.no_grad():
        assert_equal(model(x), plain.stcformer(x, weights))


def test_the_version_for_3dhp_lifts_as_its_formulas_do_in_metres_where_the_file_has_millimetres(tmp_path):
    weights = layouts.random_weights(layouts.stcformer_3dhp(32, 3))
    weights["pose_lift.weight"] *= 1000
    model = imported(layouts.save_bare(tmp_path / "a.pth", weights, "module."), tmp_path / "out")
    x = keypoints()
    with torch.no_grad():
        assert_equal(model(x), plain.stcformer_3dhp(x, weights) / 1000)


PUBLISHED = [
    (layouts.mixste(frames=9), plain.mixste, "head.1"),
    (layouts.pstmo(frames=9, strides=STRIDES[9]), lambda x, w: plain.pstmo(x, w, STRIDES[9])[1], "fcn.1"),
    (layouts.stcformer(), plain.stcformer, "regress_head"),
]


@pytest.mark.parametrize(("rows", "formulas", "head"), PUBLISHED, ids=["mixste", "pstmo_s", "stcformer"])
def test_at_published_size_poses_of_metres_agree_and_neither_side_is_nearer_to_exact(tmp_path, rows, formulas, head):
    """Random weights give outputs of up to 20: those of a pose, a metre or two, are 1e-5 apart at most.

    float32 leaves both 1e-6 of the largest output from what float64 gives, so more cannot be asked.
    """
    weights, x = layouts.random_weights(rows), keypoints()[:1]
    with torch.no_grad():
        largest = formulas(x, weights).abs().max()
        for key in (f"{head}.weight", f"{head}.bias"):
            if key in weights:
                weights[key] *= 1.5 / largest
        ours = imported(layouts.save_bare(tmp_path / "a.pth", weights), tmp_path / "out", frames=9)(x)
        theirs, exact = formulas(x, weights), formulas(x.double(), {k: v.double() for k, v in weights.items()})
    assert_equal(ours, theirs)
    assert (ours - exact).abs().max() < max(3e-6, 1.5 * (theirs - exact).abs().max())


def test_the_part_tables_are_the_published_ones(tmp_path, monkeypatch):
    """As published the part terms are weighted so low that a wrong table would pass at 1e-5."""
    monkeypatch.setattr(stcformer, "PART_WEIGHTS", {"space": 0.7, "time": 0.3})
    x = keypoints()
    weights = layouts.random_weights(layouts.stcformer(32, 2))
    model = imported(layouts.save_bare(tmp_path / "a.pth", weights), tmp_path / "h36m")
    with torch.no_grad():
        assert_equal(model(x), plain.stcformer(x, weights, weights=(0.7, 0.3)))
    weights = layouts.random_weights(layouts.stcformer_3dhp(32, 2))
    model = imported(layouts.save_bare(tmp_path / "b.pth", weights), tmp_path / "3dhp")
    with torch.no_grad():
        assert_equal(1000 * model(x), plain.stcformer_3dhp(x, weights, weights=(0.7, 0.0)))


@pytest.mark.parametrize(
    ("frames", "depth", "joints", "channels"), [(9, 3, 17, 2), (27, 4, 17, 2), (43, 2, 15, 3), (1, 2, 16, 2)]
)
def test_pstmo_lifts_as_its_formulas_do(tmp_path, frames, depth, joints, channels):
    rows = layouts.pstmo(32, depth, frames, joints, channels, strides=STRIDES[frames])
    weights = layouts.random_weights(rows)
    model = imported(layouts.save_bare(tmp_path / "a.pth", weights, "module."), tmp_path / "out")
    x = keypoints(frames, joints, channels)
    with torch.no_grad():
        sequence, centre = plain.pstmo(x, weights, STRIDES[frames])
        for ours, theirs in zip((model(x), *model.outputs(x)), (centre, sequence, centre), strict=True):
            assert_equal(ours, theirs)


def test_pstmos_strides_are_the_published_ones_and_end_at_one_frame():
    assert {frames: strides(frames) for frames in STRIDES} == STRIDES
    assert strides(351) == (3, 9, 13)


def test_pstmo_of_3dhp_gives_metres_where_the_file_has_millimetres(tmp_path):
    weights = layouts.random_weights(layouts.pstmo(32, 2, 9, strides=STRIDES[9]))
    for head in ("fcn.1", "fcn_1.1"):
        weights[f"{head}.weight"] *= 1000
        weights[f"{head}.bias"] *= 1000
    model = imported(layouts.save_bare(tmp_path / "a.pth", weights), tmp_path / "out", skeleton="mpi17")
    x = keypoints()
    with torch.no_grad():
        sequence, centre = plain.pstmo(x, weights, STRIDES[9])
        assert_equal(model.outputs(x)[0], sequence / 1000)
        assert_equal(model(x), centre / 1000)


@pytest.mark.parametrize("rows", [layouts.pstmo(32, 2, 9, strides=STRIDES[9]), layouts.pstmo_stage_1(32, 2, 9)])
def test_whether_a_file_is_of_3dhp_must_be_told_where_only_its_name_tells(tmp_path, rows):
    path = layouts.save_bare(tmp_path / "PSTMO_no_refine_50_3DHP.pth", layouts.random_weights(rows))
    with pytest.raises(MixsteError, match=r"the skeleton of .*3DHP\.pth.*add --skeleton mpi17; or .*h36m17"):
        import_checkpoint(path, tmp_path / "out")
    for skeleton in ("mpi17", "h36m17"):
        import_checkpoint(path, tmp_path / skeleton, skeleton=skeleton)
        assert read_config(tmp_path / skeleton).skeleton == skeleton


@pytest.mark.parametrize("rows", [layouts.pstmo(32, 2, 9, strides=STRIDES[9]), layouts.pstmo_stage_1(32, 2, 9)])
def test_pstmos_file_that_takes_one_skeleton_and_gives_another_is_refused_by_its_name(tmp_path, rows):
    path = layouts.save_bare(tmp_path / "PSTMOS_no_refine_48_5137_in_the_wild.pth", layouts.random_weights(rows))
    for skeleton in (None, "h36m17", "coco17"):
        with pytest.raises(MixsteError, match=r"COCO's order go in, .*Human3\.6M's come out.*one order for both"):
            import_checkpoint(path, tmp_path / "out", skeleton=skeleton)
    assert not (tmp_path / "out").exists()


def test_a_file_of_mixste_may_be_of_the_wild(tmp_path):
    path = layouts.save_mixste(tmp_path / "in_the_wild.bin", layouts.random_weights(layouts.mixste(16, 2, 9)))
    assert import_checkpoint(path, tmp_path / "out").config.skeleton == "h36m17"


def test_stcformers_own_network_for_3dhp_tells_by_its_keys(tmp_path):
    weights = layouts.random_weights(layouts.stcformer_3dhp(32, 2))
    import_checkpoint(layouts.save_bare(tmp_path / "model_3dhp.pth", weights), tmp_path / "out")
    assert read_config(tmp_path / "out").skeleton == "mpi17"


@pytest.mark.parametrize("channels", [2, 3])
def test_pstmos_stage_1_reconstructs_as_its_formulas_do_in_the_frames_own_order(tmp_path, channels):
    weights = layouts.random_weights(layouts.pstmo_stage_1(32, 3, 9, channels=channels))
    import_checkpoint(layouts.save_bare(tmp_path / "pretrain_1_2.pth", weights, "module."), tmp_path / "out")
    config = read_config(tmp_path / "out")
    assert config.kind == "masked"
    model = build_masked(config.model, joints=17).eval()
    load_weights(model, read_tensors(tmp_path / "out" / WEIGHTS), tmp_path)
    draw = torch.Generator().manual_seed(2)
    joints, frames = torch.rand((9, 17), generator=draw) < 0.2, torch.rand(9, generator=draw) < 0.6
    x = keypoints(channels=channels)
    with torch.no_grad():
        theirs, order = plain.pstmo_stage_1(x, weights, joints, frames)
        assert_equal(model.reconstruct(x, joints, frames)[:, order], theirs)


def test_an_imported_model_lifts_whole_sequences_and_says_what_it_is(tmp_path):
    weights = layouts.random_weights(layouts.mixste(32, 2, 9))
    path = layouts.save_mixste(tmp_path / "best_epoch.bin", weights)
    import_checkpoint(path, tmp_path / "out")
    lifted = Lifter.load(tmp_path / "out").predict(keypoints(31)[:1].numpy())[0]
    assert lifted.shape == (31, 17, 3)
    values = json.loads((tmp_path / "out/config.json").read_text())
    assert (values["skeleton"], values["fps"], values["model"]["frames"]) == ("h36m17", 50.0, 9)
    origin = values["provenance"]
    assert (origin["network"], origin["file"], len(origin["sha256"])) == ("MixSTE", "best_epoch.bin", 64)
    assert origin["assumed"]["heads"] == 8
    assert "licence" in origin["licence"]


def test_training_starts_from_an_imported_lifter_and_from_an_imported_stage_1(tmp_path):
    lifter = layouts.random_weights(layouts.mixste(32, 2, 9))
    first = layouts.random_weights(layouts.pstmo_stage_1(32, 2, 9))
    for name, weights, kind in (("lifter", lifter, "lifter"), ("stage_1", first, "masked network")):
        import_checkpoint(layouts.save_bare(tmp_path / f"{name}.pth", weights), tmp_path / name)
        settings = read_config(tmp_path / name).model
        model = build_model(settings, joints=17)
        transferred = transfer(model, tmp_path / name, skeleton="h36m17", unit="m")
        assert transferred.kind == kind
        given = read_tensors(tmp_path / name / WEIGHTS)
        own = model.state_dict()
        assert all(torch.equal(own[key], value) for key, value in given.items() if key in own)
        assert set(transferred.fresh) == (set() if kind == "lifter" else {"head", "reduce", "sequence_head"})


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (layouts.mixste, {"frames": 243, "width": 512, "depth": 8, "heads": 8, "mlp_ratio": 2.0, "drop_path": 0.1}),
        (layouts.pstmo, {"frames": 243, "step": 2, "width": 256, "depth": 3, "heads": 8, "output": "centre"}),
        (layouts.stcformer, {"frames": 81, "step": 3, "width": 256, "depth": 6, "heads": 8, "mlp_ratio": 4.0}),
        (layouts.stcformer_3dhp, {"frames": 81, "step": 1, "width": 256, "depth": 6, "heads": 4, "mlp_ratio": 4.0}),
    ],
)
def test_the_published_sizes_are_found_out(tmp_path, rows, expected):
    weights = {key: torch.zeros(shape) for key, shape in rows()}
    import_checkpoint(layouts.save_bare(tmp_path / "a.pth", weights, "module."), tmp_path / "out")
    settings = read_config(tmp_path / "out").model
    assert {key: getattr(settings, key) for key in expected} == expected


def broken(tmp_path, change, rows=None, **options):
    weights = layouts.random_weights(rows or layouts.mixste(16, 2, 9))
    change(weights)
    with pytest.raises(MixsteError) as error:
        import_checkpoint(layouts.save_bare(tmp_path / "a.pth", weights), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    return str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("TTEblocks.1.mlp.fc2.bias"), "no TTEblocks.1.mlp.fc2.bias"),
        (lambda w: w.update(extra=torch.zeros(1)), "unknown extra"),
        (lambda w: w.update({"head.1.bias": torch.zeros(4)}), "head.1.bias is (4,), not (3,)"),
        (lambda w: w.pop("Temporal_pos_embed"), "no Temporal_pos_embed"),
        (lambda w: w.update(Temporal_pos_embed=torch.zeros(9, 16)), "Temporal_pos_embed of shape (9, 16)"),
        (lambda w: [w.pop(key) for key in list(w) if key.startswith("STEblocks.0")], "no STEblocks.0"),
        (lambda w: w["head.1.bias"].fill_(float("nan")), "NaN or infinity in head.1.bias"),
    ],
)
def test_a_missing_an_extra_and_a_differently_shaped_key_and_nan_are_named(tmp_path, change, message):
    told = broken(tmp_path, change)
    assert message in told
    assert str(tmp_path / "a.pth") in told


def test_another_length_or_skeleton_than_the_files_is_refused(tmp_path):
    assert "9 in its weights" in broken(tmp_path, lambda w: None, frames=27)
    assert "a model of 17 joints; expected: 15 joints" in broken(tmp_path, lambda w: None, skeleton="humaneva15")
    assert "23 joints" in broken(tmp_path, lambda w: None, layouts.mixste(16, 2, 9, joints=23))


def test_other_models_are_refused_by_their_names(tmp_path):
    def motionbert(weights):
        weights.clear()
        weights.update({"temp_embed": torch.zeros(1, 243, 1, 8), "blocks_st.0.norm1_s.weight": torch.zeros(8)})

    def refine(weights):
        weights.clear()
        weights.update({"post_refine.0.weight": torch.zeros(1024, 102), "post_refine.0.bias": torch.zeros(1024)})

    assert "MotionBERT" in broken(tmp_path, motionbert)
    assert "true depth of the root" in broken(tmp_path, refine)
    assert "2 tensors (a, b, ...)" in broken(
        tmp_path, lambda w: (w.clear(), w.update(a=torch.zeros(1), b=torch.zeros(1)))
    )


def test_a_folder_that_exists_is_not_written_over(tmp_path):
    (tmp_path / "out").mkdir()
    path = layouts.save_bare(tmp_path / "a.pth", layouts.random_weights(layouts.mixste(16, 2, 9)))
    with pytest.raises(MixsteError, match="it exists"):
        import_checkpoint(path, tmp_path / "out")
