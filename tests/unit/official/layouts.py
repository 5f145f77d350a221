"""The keys and shapes of the authors' files, and random weights of them saved as the authors save."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

Rows = Iterator[tuple[str, tuple[int, ...]]]


def affine(name: str, out: int, *given: int, bias: bool = True) -> Rows:
    yield f"{name}.weight", (out, *given)
    if bias:
        yield f"{name}.bias", (out,)


def batch_norm(name: str, width: int) -> Rows:
    yield from affine(name, width)
    yield f"{name}.running_mean", (width,)
    yield f"{name}.running_var", (width,)
    yield f"{name}.num_batches_tracked", ()


def own_norm(name: str, width: int) -> Rows:
    yield f"{name}.a_2", (width,)
    yield f"{name}.b_2", (width,)


def mixste(width=512, depth=8, frames=243, joints=17, channels=2) -> Rows:
    yield "Spatial_pos_embed", (1, joints, width)
    yield "Temporal_pos_embed", (1, frames, width)
    yield from affine("Spatial_patch_to_embedding", width, channels)
    for blocks in ("STEblocks", "TTEblocks"):
        for i in range(depth):
            yield from affine(f"{blocks}.{i}.norm1", width)
            yield from affine(f"{blocks}.{i}.attn.qkv", 3 * width, width)
            yield from affine(f"{blocks}.{i}.attn.proj", width, width)
            yield from affine(f"{blocks}.{i}.norm2", width)
            yield from affine(f"{blocks}.{i}.mlp.fc1", 2 * width, width)
            yield from affine(f"{blocks}.{i}.mlp.fc2", width, 2 * width)
    for norm in ("Spatial_norm", "Temporal_norm", "head.0"):
        yield from affine(norm, width)
    yield from affine("head.1", 3, width)


def stcformer(width=256, depth=6, channels=2) -> Rows:
    yield from affine("pose_emb", width, channels, bias=False)
    for i in range(depth):
        block = f"stcformer.stc_block.{i}"
        yield from affine(f"{block}.layer_norm", width)
        yield from affine(f"{block}.mlp.fc1", 4 * width, width, bias=False)
        yield from affine(f"{block}.mlp.fc2", width, 4 * width, bias=False)
        yield from affine(f"{block}.stc_att.qkv", 3 * width, width)
        yield from affine(f"{block}.stc_att.layer_norm", width)
        yield from affine(f"{block}.stc_att.proj", width, width)
        yield f"{block}.stc_att.emb.weight", (5, width // 16)
        yield from affine(f"{block}.stc_att.sep2_t", width // 2, 1, 3, 3)
        yield from affine(f"{block}.stc_att.sep2_s", width // 2, 1, 3, 3)
    yield from affine("regress_head", 3, width, bias=False)


def stcformer_3dhp(width=256, depth=6, channels=2) -> Rows:
    yield from affine("pose_emb", width, channels, bias=False)
    for i in range(depth):
        block = f"mlpmixer.mixerblocks.{i}"
        yield from affine(f"{block}.layer_norm1", width)
        yield from affine(f"{block}.layer_norm2", width)
        yield from affine(f"{block}.mlp1.fc1", 4 * width, width, bias=False)
        yield from affine(f"{block}.mlp1.fc2", width, 4 * width, bias=False)
        yield from affine(f"{block}.cross_att.qkv", 3 * width, width)
        yield from affine(f"{block}.cross_att.layer_norm", width)
        yield from affine(f"{block}.cross_att.proj", width, width)
        yield from affine(f"{block}.cross_att.gate_t", width // 2, 1, 3, 3)
        yield from affine(f"{block}.cross_att.gate_s", width // 2, 1, 3, 3)
        yield f"{block}.cross_att.emb.weight", (20, width // 8)
    yield from affine("pose_lift", 3, width, bias=False)


def _pose_layer(name: str, width: int, hidden: int, *, strided: bool = False) -> Rows:
    for i in range(4):
        yield from affine(f"{name}.self_attn.linears.{i}", width, width)
    one, three = ((1,), (3,)) if strided else ((), ())
    yield from affine(f"{name}.feed_forward.w_1", hidden, width, *one)
    yield from affine(f"{name}.feed_forward.w_2", width, hidden, *three)
    for i in range(2):
        yield from own_norm(f"{name}.sublayer.{i}.norm", width)


def _pose_encoder(width: int, depth: int, frames: int, joints: int, channels: int) -> Rows:
    hidden = 2 * width
    yield from affine("encoder.fc_1", hidden, joints * channels, 1)
    yield from batch_norm("encoder.bn_1", hidden)
    yield from affine("encoder.fc_2", width, hidden, 1)
    for i in (1, 2):
        yield from affine(f"encoder.layers.0.w{i}", hidden, hidden, 1)
        yield from batch_norm(f"encoder.layers.0.batch_norm{i}", hidden)
    yield "Transformer.pos_embedding", (1, frames, width)
    for i in range(depth):
        yield from _pose_layer(f"Transformer.model.layers.{i}", width, 2 * width)
    yield from own_norm("Transformer.model.norm", width)


def pstmo(width=256, depth=3, frames=243, joints=17, channels=2, *, strides=(3, 3, 3, 3, 3)) -> Rows:
    yield from _pose_encoder(width, depth, frames, joints, channels)
    for i in (1, 2, 3):
        yield f"Transformer_reduce.model.pos_embedding_{i}", (1, frames, width)
    for i in range(len(strides)):
        yield from _pose_layer(f"Transformer_reduce.model.layers.{i}", width, 2 * width, strided=True)
    yield from own_norm("Transformer_reduce.model.norm", width)
    for head in ("fcn", "fcn_1"):
        yield from batch_norm(f"{head}.0", width)
        yield from affine(f"{head}.1", 3 * joints, width, 1)


def pstmo_stage_1(width=256, depth=3, frames=243, joints=17, channels=2) -> Rows:
    half = width // 2
    yield "dec_pos_embedding", (1, frames, half)
    yield "mask_token", (1, 1, half)
    yield "spatial_mask_token", (1, 1, channels)
    yield from _pose_encoder(width, depth, frames, joints, channels)
    for i in range(depth - 1):
        yield from _pose_layer(f"Transformer_dec.model.layers.{i}", half, width)
    yield from own_norm("Transformer_dec.model.norm", half)
    yield from affine("encoder_to_decoder", half, width, bias=False)
    yield from own_norm("encoder_LN", width)
    yield from batch_norm("fcn_dec.0", half)
    yield from affine("fcn_dec.1", 2 * joints, half, 1)


def random_weights(rows: Rows, seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights of the size of trained ones: layers keep the scale, norms are near 1, variances above 0."""
    draw = torch.Generator().manual_seed(seed)
    weights = {}
    for key, shape in rows:
        if key.endswith("num_batches_tracked"):
            weights[key] = torch.tensor(3)
        elif key.endswith("running_var"):
            weights[key] = 0.5 + torch.rand(shape, generator=draw)
        else:
            fan_in = max(1, int(np.prod(shape[1:])))
            one = key.endswith((".a_2", "norm.weight", "norm1.weight", "norm2.weight", "bn_1.weight"))
            weights[key] = float(one) + torch.randn(shape, generator=draw) / fan_in**0.5
    return weights


def save_bare(path: Path, weights: dict[str, torch.Tensor], prefix: str = "") -> Path:
    """P-STMO and STCFormer: the state dict alone."""
    torch.save({prefix + key: value for key, value in weights.items()}, path)
    return path


def save_mixste(path: Path, weights: dict[str, torch.Tensor]) -> Path:
    """MixSTE: the state under model_pos, beside optimiser and numpy's random state."""
    named = {f"module.{key}": value for key, value in weights.items()}
    moments = {0: {"step": torch.tensor(5.0), "exp_avg": torch.zeros(3)}}
    optimiser = {"state": moments, "param_groups": [{"lr": 4e-5, "betas": (0.9, 0.999), "params": [0]}]}
    state = {"epoch": 3, "lr": 4e-5, "random_state": np.random.RandomState(1234)}
    torch.save({**state, "optimizer": optimiser, "model_pos": named}, path)
    return path
