"""The numbers of conf/ that decide a paper's recipe, held against those of the papers and of their authors' code.

Every setting of a recipe's model and of the trainings that its paper has is in the table: one that nobody stated here
fails as one that differs does.
"""

from dataclasses import asdict
from typing import Any

import pytest

from mixste.projection import ViewSettings
from tests.unit.composed import CONF, composed

Values = dict[str, Any]


def flat(values: Values, prefix: str = "") -> Values:
    """Nested settings by dotted names."""
    found: Values = {}
    for key, value in values.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def stage(name: str, *parts: Values) -> Values:
    """Settings of a stage as in the table."""
    return {f"{name}.{key}": value for part in parts for key, value in flat(part).items()}


def model(architecture: str, frames: int, width: int, depth: int, **others: Any) -> Values:
    own = {"architecture": architecture, "frames": frames, "width": width, "depth": depth, "heads": 8, "channels": 2}
    return stage("model", {**own, "step": 1, "dropout": 0.1, "drop_path": 0.0, "part_weight": 1.0, **others})


def mixste(frames: int) -> Values:
    """C 512, L 8, H 8; stochastic depth 0.1 in run.py; no dropout."""
    own = {"mlp_ratio": 2.0, "dropout": 0.0, "drop_path": 0.1, "output": "sequence"}
    return model("mixste", frames, 512, 8, **own)


def pstmo(frames: int, depth: int, step: int = 2) -> Values:
    """C 256, hidden 512; every second frame."""
    return model("pstmo", frames, 256, depth, mlp_ratio=2.0, step=step, output="centre")


def stcformer(frames: int, width: int = 256, **others: Any) -> Values:
    """L 6; the base has C 256, the large one 512; hidden 4 C."""
    return model("stcformer", frames, width, 6, **{"mlp_ratio": 4.0, "output": "centre", **others})


def optimiser(name: str, lr: float, decay: float, **others: Any) -> Values:
    """The rate falls by a factor every epoch in all of them; in no authors' code it rises or is clipped."""
    plain = {"amsgrad": False, "weight_decay": 0.0, "warmup": 0.0, "clip": None, "output_share": 1.0}
    return {"optimiser": {"name": name, "lr": lr, "schedule": "decay", "decay": decay, **plain, **others}}


def amount(epochs: int, batch_size: int, stride: int, place: str, flip: str) -> Values:
    own = {"epochs": epochs, "batch_size": batch_size, "stride": stride, "place": place, "flip": flip}
    return {**own, "windows_per_epoch": None, "keep": "last"}


PLAIN = {"loss": {"weighted": False, "temporal": 0.0, "velocity": 0.0, "squared": False}}
MIXSTE_LOSS = {"loss": {"weighted": True, "temporal": 0.5, "velocity": 2.0, "squared": True}}
# Gentler than the paper, which names neither warm-up nor clipping: Adam at 0.001 would diverge.
GENTLE = optimiser("adam", 1e-3, 0.96, warmup=0.02, clip=1.0)


def mixste_training(frames: int, batch_size: int) -> Values:
    """1024 frames a batch, chunks that cover a video, each plain and mirrored; half the loss's square is minimised."""
    adamw = optimiser("adamw", 4e-5, 0.99, weight_decay=0.1)
    return stage("finetune", MIXSTE_LOSS, adamw, amount(120, batch_size, frames, "over", "both"))


def pstmo_training(lr: float, **others: Any) -> Values:
    """Stage II: 79 epochs of 80, for the code's loop ends before the last."""
    adam = optimiser("adam", lr, 0.97, amsgrad=True, **others)
    return stage("finetune", PLAIN, adam, amount(79, 160, 1, "inside", "both"))


def stcformer_training(batch_size: int = 42, stride: int = 3, **others: Any) -> Values:
    """Batches of 128 divided by the stride; windows that the code puts half a window too early."""
    adam = optimiser("adam", 1e-3, 0.96, amsgrad=True, **others)
    return stage("finetune", PLAIN, adam, amount(20, batch_size, stride, "before", "both"))


def masked(joints: int, frames: float) -> Values:
    """P-STMO's stage I: the last joint is never hidden."""
    own = {"objective": "mpm", "views": "rig", "corruption": None, "loss": None}
    own |= {"masks": {"joints": joints, "frames": frames, "last_joint": False}}
    adam = optimiser("adam", 1e-4, 0.97, amsgrad=True)
    return stage("pretrain", own, adam, amount(79, 160, 1, "inside", "both"))


def motionbert(optimised: Values, epochs: int, batch_size: int, *, shared: bool) -> Values:
    """5 % of joints and 10 % of frames hidden; MPJPE, half of N-MPJPE and 20 times the velocity error."""
    hidden = {"noise": 1.0, "joint_mask": 0.05, "frame_mask": 0.1, "shared": shared}
    own = {"objective": "lift", "views": "random", "corruption": hidden, "masks": None}
    own |= {"loss": {"n_mpjpe": 0.5, "velocity": 20.0}}
    return stage("pretrain", own, optimised, amount(epochs, batch_size, 81, "inside", "half"))


MOTIONBERT = motionbert(optimiser("adamw", 5e-4, 0.99, weight_decay=0.01), 90, 64, shared=True)
CPN = {"data.labelled.name": "h36m", "data.labelled.detections": "CPN"}
EXACT_3DHP = {
    "data.labelled.name": "mpi_inf_3dhp",
    "data.labelled.detections": "ground truth",
    "pretrain.views": "rig",  # it has no world to look at from elsewhere
}
STCFORMER_3DHP = {**stcformer(81, heads=4), "model.architecture": "stcformer_3dhp"}
HUMANEVA = {"data.labelled.name": "humaneva"}
RECIPES: dict[str, Values] = {
    "mixste_h36m_27": {**CPN, **mixste(27), **mixste_training(27, 37)},
    "mixste_h36m_81": {**CPN, **mixste(81), **mixste_training(81, 12)},
    "mixste_h36m_243": {**CPN, **mixste(243), **mixste_training(243, 4)},
    "mixste_3dhp": {**EXACT_3DHP, **mixste(27), **mixste_training(27, 37), "finetune.loss.weighted": False},
    "mixste_humaneva": {**HUMANEVA, **mixste(43), **MOTIONBERT, "pretrain.stride": 14, **mixste_training(43, 23)},
    "mixste_amass_h36m": {**CPN, **mixste(243), **MOTIONBERT, **mixste_training(243, 4)},
    "improved_mixste_h36m": {
        **CPN,
        **mixste(243),
        **motionbert(GENTLE, 20, 128, shared=False),
        **stage("finetune", MIXSTE_LOSS, GENTLE, amount(20, 128, 243, "inside", "half")),
        "finetune.loss.squared": False,
    },
    "pstmo_h36m": {**CPN, **pstmo(243, 4), **masked(3, 0.6), **pstmo_training(1e-3)},
    "pstmo_s_h36m": {**CPN, **pstmo(243, 3), **masked(2, 0.8), **pstmo_training(7e-4)},
    "pstmo_s_3dhp": {
        **EXACT_3DHP,
        **pstmo(81, 3, step=1),
        **masked(2, 0.7),
        **pstmo_training(7e-4, output_share=1e-3),
    },
    "stcformer_h36m_27": {**CPN, **stcformer(27, step=3), **stcformer_training()},
    "stcformer_h36m_81": {**CPN, **stcformer(81, step=3), **stcformer_training()},
    "stcformer_h36m_243": {**CPN, **stcformer(243, step=2), **stcformer_training()},
    "stcformer_l_h36m_243": {**CPN, **stcformer(243, 512, step=2), **stcformer_training()},
    "stcformer_3dhp": {
        **EXACT_3DHP,
        **STCFORMER_3DHP,
        **stcformer_training(128, 1, output_share=1e-3),
    },
}
# What a model is by itself, before a recipe gives it a length.
MODELS = {
    "base": mixste(243),
    "pstmo": pstmo(243, 4),
    "pstmo_s": pstmo(243, 3),
    "stcformer": stcformer(243, step=2),
    "stcformer_l": stcformer(243, 512, step=2),
    "stcformer_3dhp": STCFORMER_3DHP,
}


def found(*overrides: str) -> Values:
    return flat(asdict(composed(*overrides)))


def test_every_recipe_has_its_numbers_here():
    assert {path.stem for path in (CONF / "experiment").glob("*.yaml")} == set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_has_the_papers_numbers_and_no_setting_that_nobody_stated(name):
    expected, values = RECIPES[name], found(f"experiment={name}")
    stages = {"model", "finetune", "pretrain"} - (set() if "pretrain.objective" in expected else {"pretrain"})
    own = {key: value for key, value in values.items() if key.split(".")[0] in stages or key in expected}
    assert {key: value for key, value in own.items() if not key.endswith(".validation_windows")} == expected


@pytest.mark.parametrize("name", MODELS)
def test_a_published_size_is_the_papers(name):
    values = found(f"model={name}", "pretrain.views=rig")
    assert {key: value for key, value in values.items() if key.startswith("model.")} == MODELS[name]


def test_random_views_of_recipes_are_those_that_the_code_describes():
    assert composed("experiment=mixste_amass_h36m").project.views == ViewSettings()
