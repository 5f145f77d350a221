"""Sizes and multiply-adds of every published model, to the digit of the papers' code."""

from pathlib import Path

import pytest

from mixste.costs import Cost, costs, known
from mixste.errors import MixsteError
from mixste.models.checkpoint import ModelConfig, save_model
from tests.unit.factories import model

# (model, frames): parameters, linear (and convolution) MACs, all MACs; P-STMO: also the parameters of stage I
PUBLISHED = {
    ("base", 1): (33_659_907, 570_468_864, 572_975_616),
    ("base", 9): (33_664_003, 5_134_219_776, 5_166_807_552),
    ("base", 27): (33_673_219, 15_402_659_328, 15_568_104_960),
    ("base", 43): (33_681_411, 24_530_161_152, 24_889_462_272),
    ("base", 81): (33_700_867, 46_207_977_984, 47_313_455_616),
    ("base", 243): (33_783_811, 138_623_933_952, 147_422_633_472),
    ("pstmo_s", 27): (4_682_598, 81_444_864, 82_983_936, 2_573_092),
    ("pstmo_s", 81): (5_527_142, 245_881_344, 259_737_600, 2_593_828),
    ("pstmo_s", 243): (6_482_278, 739_190_784, 863_901_696, 2_656_036),
    ("pstmo", 27): (5_209_702, 95_600_640, 97_512_960, 3_232_676),
    ("pstmo", 81): (6_054_246, 288_348_672, 305_564_160, 3_253_412),
    ("pstmo", 243): (7_009_382, 866_592_768, 1_021_536_768, 3_315_620),
    ("stcformer", 27): (4_748_000, 2_172_766_464, 2_203_787_520),
    ("stcformer", 81): (4_748_000, 6_518_299_392, 6_725_576_448),
    ("stcformer", 243): (4_748_000, 19_554_898_176, 21_204_654_336),
    ("stcformer_l", 27): (18_933_184, 8_677_200_384, 8_739_242_496),
    ("stcformer_l", 81): (18_933_184, 26_031_601_152, 26_446_155_264),
    ("stcformer_l", 243): (18_933_184, 78_094_803_456, 81_394_315_776),
}


@pytest.fixture(autouse=True)
def _in_the_project(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(root)


@pytest.mark.parametrize(("name", "frames"), PUBLISHED)
def test_published_models_have_the_published_sizes_to_the_digit(name, frames):
    parameters, linear, every, *stage_1 = PUBLISHED[name, frames]
    buffers = 4_101 if name.startswith("pstmo") else 0
    expected = Cost(frames, 17, parameters, buffers, linear, every, stage_1[0] if stage_1 else None)
    assert costs(name, frames=[frames]) == [expected]


def test_other_joints_channels_and_variants_have_the_published_parameter_counts():
    assert costs("base", frames=[43], joints=15)[0].parameters == 33_680_387
    assert costs("base", channels=3)[0].parameters == 33_784_323
    assert costs("stcformer_3dhp")[0].parameters == 4_754_432


def test_a_model_folder_has_its_own_joints_and_a_yaml_file_its_own_frames(tmp_path, root):
    network = model(joints=15)
    save_model(
        tmp_path / "out", network.state_dict(), ModelConfig(model=network.settings, skeleton="humaneva15", fps=60)
    )
    counted = costs(str(tmp_path / "out"))[0]
    assert (counted.joints, counted.frames) == (15, 9)
    assert counted.parameters == sum(value.numel() for value in network.state_dict().values())
    (tmp_path / "my.yaml").write_text((root / "conf/model/tiny.yaml").read_text())
    assert costs(str(tmp_path / "my.yaml")) == costs("tiny")


def test_all_models_of_conf_are_known_and_elsewhere_none(tmp_path, monkeypatch):
    assert {"base", "pstmo_s", "pstmo", "stcformer", "stcformer_l", "stcformer_3dhp"} <= set(known())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MixsteError, match="no models in conf/model"):
        known()


def test_what_is_no_model_is_refused_by_name(tmp_path):
    with pytest.raises(MixsteError, match=r"no model enormous.*base, pstmo"):
        costs("enormous")
    (tmp_path / "wrong.yaml").write_text("architecture: mixste\nwide: 3\n")
    with pytest.raises(MixsteError, match=r"wrong.yaml(.|\n)*wide"):
        costs(str(tmp_path / "wrong.yaml"))
    with pytest.raises(MixsteError, match="odd"):
        costs("base", frames=[4])
