import pytest
import torch
from safetensors.torch import load_file, save_file

from mixste.errors import MixsteError
from mixste.models import build_masked, build_model
from mixste.models.checkpoint import WEIGHTS, ModelConfig, save_model
from mixste.models.transfer import transfer
from tests.unit.factories import FPS, SKELETON, model_settings

ARCHITECTURES = ("mixste", "pstmo", "stcformer", "stcformer_3dhp")


def fresh(settings, seed=5, joints=17):
    torch.manual_seed(seed)
    return build_model(settings, joints=joints)


def parent(folder, kind="lifter", skeleton=SKELETON, joints=17, **changes):
    """A model folder with weights of its own."""
    settings = model_settings(**changes)
    torch.manual_seed(1)
    network = (build_model if kind == "lifter" else build_masked)(settings, joints=joints)
    save_model(folder, network.state_dict(), ModelConfig(model=settings, skeleton=skeleton, fps=FPS, kind=kind))
    return network


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_lifter_gives_everything(tmp_path, architecture):
    given, own = parent(tmp_path, architecture=architecture), fresh(model_settings(architecture=architecture))
    report = transfer(own, tmp_path, skeleton=SKELETON, unit="m")
    assert all(torch.equal(value, given.state_dict()[name]) for name, value in own.state_dict().items())
    assert (report.fresh, report.left_behind) == ({}, {})
    assert sum(report.taken.values()) == len(own.state_dict())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_masked_network_gives_what_it_shares_and_the_head_begins_fresh(tmp_path, architecture):
    settings = model_settings(architecture=architecture)
    given, own = parent(tmp_path, "masked", architecture=architecture).state_dict(), fresh(settings)
    report = transfer(own, tmp_path, skeleton=SKELETON, unit="m")
    begun = fresh(settings).state_dict()
    for name, value in own.state_dict().items():
        expected = begun if name.startswith(own.head_prefixes) else given
        assert torch.equal(value, expected[name]), name
    assert sum(report.taken.values()) + sum(report.fresh.values()) == len(begun)
    assert sum(report.taken.values()) + sum(report.left_behind.values()) == len(given)


def test_batch_norms_running_statistics_are_taken_too(tmp_path):
    network = parent(tmp_path, "masked", architecture="pstmo")
    state = network.state_dict()
    names = [name for name in state if name.startswith("encoder.") and name.endswith("running_mean")]
    for name in names:
        state[name].normal_()
    config = ModelConfig(model=network.settings, skeleton=SKELETON, fps=FPS, kind="masked")
    save_model(tmp_path, state, config)
    own = fresh(network.settings)
    transfer(own, tmp_path, skeleton=SKELETON, unit="m")
    assert names
    assert all(torch.equal(own.state_dict()[name], state[name]) for name in names)


def test_the_report_names_parts_and_counts_tensors(tmp_path):
    parent(tmp_path, "masked", architecture="pstmo")
    report = transfer(fresh(model_settings(architecture="pstmo")), tmp_path, skeleton=SKELETON, unit="m")
    assert list(report.taken) == ["encoder"]
    assert list(report.fresh) == ["head", "reduce", "sequence_head"]
    assert list(report.left_behind) == ["decoder", "joint_token", "keypoint_head"]
    assert report.left_behind["joint_token"] == 1
    assert "from a masked network: taken: encoder (" in str(report)
    assert "left behind: decoder (" in str(report)


@pytest.mark.parametrize("kind", ["lifter", "masked"])
@pytest.mark.parametrize(
    ("architecture", "change"),
    [
        ("mixste", {"width": 32}),
        ("mixste", {"depth": 3}),
        ("mixste", {"heads": 4}),
        ("mixste", {"channels": 2}),
        ("mixste", {"mlp_ratio": 3.0}),
        ("pstmo", {"frames": 27}),
        ("stcformer", {"frames": 27}),
        ("stcformer", {"architecture": "stcformer_3dhp"}),
    ],
)
def test_another_size_is_one_clear_error(tmp_path, kind, architecture, change):
    parent(tmp_path, kind, **{"architecture": architecture, **change})
    ((name, theirs),) = change.items()
    own = model_settings(architecture=architecture)
    expected = f"cannot start from .*found: {name} {theirs}; expected: {name} {getattr(own, name)}"
    with pytest.raises(MixsteError, match=expected):
        transfer(fresh(own), tmp_path, skeleton=SKELETON, unit="m")


@pytest.mark.parametrize(("skeleton", "joints"), [("h36m16", 16), ("mpi17", 17)])
def test_another_skeleton_is_refused_even_with_as_many_joints(tmp_path, skeleton, joints):
    parent(tmp_path, skeleton=skeleton, joints=joints)
    with pytest.raises(MixsteError, match=f"found: skeleton {skeleton}; expected: skeleton {SKELETON}"):
        transfer(fresh(model_settings()), tmp_path, skeleton=SKELETON, unit="m")


def test_a_lifter_in_another_unit_is_refused_and_a_masked_network_lifts_in_none(tmp_path):
    parent(tmp_path / "lifter")
    parent(tmp_path / "masked", "masked")
    with pytest.raises(MixsteError, match="found: unit m; expected: unit screen"):
        transfer(fresh(model_settings()), tmp_path / "lifter", skeleton=SKELETON, unit="screen")
    assert transfer(fresh(model_settings()), tmp_path / "masked", skeleton=SKELETON, unit="screen").fresh


def test_what_differs_without_a_part_in_the_weights_does_not_matter(tmp_path):
    parent(tmp_path, architecture="stcformer", dropout=0.1, output="centre")
    assert transfer(fresh(model_settings(architecture="stcformer")), tmp_path, skeleton=SKELETON, unit="m").taken


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weights: weights.pop("embed.weight"), "no embed.weight"),
        (lambda weights: weights.update(extra=torch.zeros(1)), "unknown extra"),
        (lambda weights: weights.update({"head.bias": torch.zeros(3)}), "unknown head.bias"),
        (lambda weights: weights.update({"embed.bias": torch.zeros(4)}), r"embed.bias is \(4,\), not \(16,\)"),
    ],
)
def test_a_masked_network_with_other_keys_is_refused_by_their_names(tmp_path, change, message):
    parent(tmp_path, "masked")
    weights = load_file(tmp_path / WEIGHTS)
    change(weights)
    save_file(weights, tmp_path / WEIGHTS)
    with pytest.raises(MixsteError, match=message):
        transfer(fresh(model_settings()), tmp_path, skeleton=SKELETON, unit="m")
