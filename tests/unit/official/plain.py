"""The papers' networks written out plainly from their formulas, reading the authors' keys and layouts directly.

Slow on purpose: one head, one frame, one joint or one offset at a time, and nothing of mixste.
"""

import math

import torch

STC_PARTS = [0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 3, 3, 3, 4, 4, 4]
STC_PARTS_3DHP = [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 0, 0, 0]


def linear(x, state, name):
    y = torch.einsum("...i,oi->...o", x, state[f"{name}.weight"].reshape(len(state[f"{name}.weight"]), -1))
    return y + state[f"{name}.bias"] if f"{name}.bias" in state else y


def layer_norm(x, state, name, eps):
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / (variance + eps).sqrt() * state[f"{name}.weight"] + state[f"{name}.bias"]


def own_norm(x, state, name):
    mean = x.mean(-1, keepdim=True)
    deviation = (((x - mean) ** 2).sum(-1, keepdim=True) / (x.shape[-1] - 1)).sqrt()
    return state[f"{name}.a_2"] * (x - mean) / (deviation + 1e-6) + state[f"{name}.b_2"]


def batch_norm(x, state, name):
    deviation = (state[f"{name}.running_var"] + 1e-5).sqrt()
    return (x - state[f"{name}.running_mean"]) / deviation * state[f"{name}.weight"] + state[f"{name}.bias"]


def gelu(x):
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def softmax_mix(query, key, value, scale):
    """Tokens (n d) of one head of one row."""
    weights = torch.exp(scale * torch.einsum("nd,md->nm", query, key))
    return torch.einsum("nm,md->nd", weights / weights.sum(1, keepdim=True), value)


def row_attention(q, k, v, heads, scale):
    """Rows of tokens (r n c): every row and head by itself."""
    size = q.shape[-1] // heads
    out = torch.empty_like(v)
    for row in range(len(q)):
        for head in range(heads):
            own = slice(head * size, (head + 1) * size)
            out[row, :, own] = softmax_mix(q[row, :, own], k[row, :, own], v[row, :, own], scale)
    return out


def mixste(x, state, heads=8):
    """Keypoints (b t j c) to (b t j 3)."""
    b, t, j, _ = x.shape
    depth = sum(key.startswith("STEblocks.") and key.endswith("qkv.weight") for key in state)

    def block(rows, name):
        width = rows.shape[-1]
        fused = linear(layer_norm(rows, state, f"{name}.norm1", 1e-6), state, f"{name}.attn.qkv")
        q, k, v = fused[..., :width], fused[..., width : 2 * width], fused[..., 2 * width :]
        mixed = row_attention(q, k, v, heads, (width / heads) ** -0.5)
        rows = rows + linear(mixed, state, f"{name}.attn.proj")
        hidden = gelu(linear(layer_norm(rows, state, f"{name}.norm2", 1e-6), state, f"{name}.mlp.fc1"))
        return rows + linear(hidden, state, f"{name}.mlp.fc2")

    x = linear(x, state, "Spatial_patch_to_embedding") + state["Spatial_pos_embed"]
    for i in range(depth):
        frames = block(x.reshape(b * t, j, -1), f"STEblocks.{i}")
        x = layer_norm(frames, state, "Spatial_norm", 1e-6).reshape(b, t, j, -1)
        tracks = torch.stack([x[n, :, k] for n in range(b) for k in range(j)])
        if i == 0:
            tracks = tracks + state["Temporal_pos_embed"]
        tracks = layer_norm(block(tracks, f"TTEblocks.{i}"), state, "Temporal_norm", 1e-6)
        x = torch.stack([torch.stack([tracks[n * j + k] for k in range(j)], dim=1) for n in range(b)])
    return linear(layer_norm(x, state, "head.0", 1e-5), state, "head.1")


def grid_convolution(v, state, name):
    """A depth-wise 3x3 convolution of (t j c), zero outside of the grid."""
    t, j, _ = v.shape
    out = state[f"{name}.bias"].expand_as(v).clone()
    for frame in range(t):
        for joint in range(j):
            for dt in (-1, 0, 1):
                for dj in (-1, 0, 1):
                    if 0 <= frame + dt < t and 0 <= joint + dj < j:
                        tap = state[f"{name}.weight"][:, 0, dt + 1, dj + 1]
                        out[frame, joint] += tap * v[frame + dt, joint + dj]
    return out


def criss_cross(x, state, name, norm, grids, heads, scale, parts, weights):
    """One sample (t j c)."""
    t, j, width = x.shape
    half, size = width // 2, width // 2 // heads
    triples = linear(layer_norm(x, state, norm, 1e-5), state, f"{name}.qkv").reshape(t, j, width, 3)
    q, k, v = (triples[..., n] for n in range(3))
    space = row_attention(q[..., :half], k[..., :half], v[..., :half], heads, scale)
    later = [y[..., half:].transpose(0, 1) for y in (q, k, v)]
    time = row_attention(*later, heads, scale).transpose(0, 1)
    space = space + grid_convolution(v[..., :half], state, f"{name}.{grids[0]}")
    time = time + grid_convolution(v[..., half:], state, f"{name}.{grids[1]}")
    out = torch.empty_like(x)
    for joint in range(j):
        part = state[f"{name}.emb.weight"][parts[joint]]
        for head in range(heads):
            own, start = slice(head * size, (head + 1) * size), 2 * head * size
            out[:, joint, start : start + size] = space[:, joint, own] + weights[0] * part
            out[:, joint, start + size : start + 2 * size] = time[:, joint, own] + weights[1] * part
    return linear(out, state, f"{name}.proj")


def stcformer(x, state, heads=8, weights=(1e-4, 1e-9)):
    """Keypoints (b t j c) to (b t j 3)."""
    samples = []
    for y in gelu(linear(x, state, "pose_emb")):
        for i in range(sum(key.endswith("emb.weight") for key in state) - 1):
            name = f"stcformer.stc_block.{i}"
            attention, norm = f"{name}.stc_att", f"{name}.stc_att.layer_norm"
            scale, grids = (y.shape[-1] / 2) ** -0.5, ("sep2_s", "sep2_t")
            y = y + criss_cross(y, state, attention, norm, grids, heads, scale, STC_PARTS, weights)
            hidden = gelu(linear(layer_norm(y, state, f"{name}.layer_norm", 1e-5), state, f"{name}.mlp.fc1"))
            y = y + linear(hidden, state, f"{name}.mlp.fc2")
        samples.append(linear(y, state, "regress_head"))
    return torch.stack(samples)


def stcformer_3dhp(x, state, heads=4, weights=(1e-4, 0.0)):
    """Keypoints (b t j c) to (b t j 3)."""
    samples = []
    for y in gelu(linear(x, state, "pose_emb")):
        for i in range(sum(key.endswith("emb.weight") for key in state) - 1):
            name = f"mlpmixer.mixerblocks.{i}"
            attention, norm = f"{name}.cross_att", f"{name}.cross_att.layer_norm"
            scale, grids = y.shape[-1] ** -0.5, ("gate_s", "gate_t")
            y = y + criss_cross(y, state, attention, norm, grids, heads, scale, STC_PARTS_3DHP, weights)
            hidden = gelu(linear(layer_norm(y, state, f"{name}.layer_norm1", 1e-5), state, f"{name}.mlp1.fc1"))
            y = y + linear(hidden, state, f"{name}.mlp1.fc2")
        samples.append(linear(y, state, "pose_lift"))
    return torch.stack(samples)


def pose_tokens(x, state):
    """Keypoints (b t j c) to (b t C): channels are joint by joint."""

    def dense(y, layer, norm):
        y = batch_norm(linear(y, state, f"encoder.{layer}"), state, f"encoder.{norm}")
        return torch.where(y > 0, y, 0.2 * y)

    x = dense(torch.cat([x[:, :, joint] for joint in range(x.shape[2])], dim=-1), "fc_1", "bn_1")
    inner = dense(dense(x, "layers.0.w1", "layers.0.batch_norm1"), "layers.0.w2", "layers.0.batch_norm2")
    return linear(x + inner, state, "encoder.fc_2")


def pose_layer(x, state, name, heads, stride=None):
    y = own_norm(x, state, f"{name}.sublayer.0.norm")
    q, k, v = (linear(y, state, f"{name}.self_attn.linears.{n}") for n in range(3))
    mixed = row_attention(q, k, v, heads, (x.shape[-1] / heads) ** -0.5)
    x = x + linear(mixed, state, f"{name}.self_attn.linears.3")
    hidden = linear(own_norm(x, state, f"{name}.sublayer.1.norm"), state, f"{name}.feed_forward.w_1").clamp_min(0)
    if stride is None:
        return x + linear(hidden, state, f"{name}.feed_forward.w_2")
    kept = []
    for frame in range(0, x.shape[1], stride):
        y = x[:, frame] + state[f"{name}.feed_forward.w_2.bias"]
        for tap in range(3):
            if 0 <= frame + tap - 1 < x.shape[1]:
                weight = state[f"{name}.feed_forward.w_2.weight"][:, :, tap]
                y = y + torch.einsum("bi,oi->bo", hidden[:, frame + tap - 1], weight)
        kept.append(y)
    return torch.stack(kept, dim=1)


def pose_layers(x, state, name, heads):
    for i in range(sum(key.startswith(f"{name}.layers.") and key.endswith("w_1.bias") for key in state)):
        x = pose_layer(x, state, f"{name}.layers.{i}", heads)
    return x


def pose_head(x, state, name, values):
    flat = linear(batch_norm(x, state, f"{name}.0"), state, f"{name}.1")
    return flat.reshape(*flat.shape[:2], -1, values)


def pstmo(x, state, strides, heads=8):
    """Keypoints (b t j c) to the sequence (b t j 3) and the centre frame (b 1 j 3)."""
    x = pose_layers(pose_tokens(x, state) + state["Transformer.pos_embedding"], state, "Transformer.model", heads)
    sequence = pose_head(x, state, "fcn_1", 3)
    for i, stride in enumerate(strides):
        if i < 3:
            x = x + state[f"Transformer_reduce.model.pos_embedding_{i + 1}"][:, : x.shape[1]]
        x = pose_layer(x, state, f"Transformer_reduce.model.layers.{i}", heads, stride)
    return sequence, pose_head(x, state, "fcn", 3)


def pstmo_stage_1(x, state, joints, frames, heads=8):
    """Keypoints (b t j c), hidden joints (t j) and frames (t,), to (b t j 2): the visible first; and their order."""
    x = x.clone()
    for frame, joint in joints.nonzero().tolist():
        x[:, frame, joint] = state["spatial_mask_token"][0, 0]
    visible, hidden = (~frames).nonzero()[:, 0], frames.nonzero()[:, 0]
    x = (pose_tokens(x, state) + state["Transformer.pos_embedding"])[:, visible]
    x = linear(
        own_norm(pose_layers(x, state, "Transformer.model", heads), state, "encoder_LN"), state, "encoder_to_decoder"
    )
    places = state["dec_pos_embedding"]
    blank = (state["mask_token"] + places[:, hidden]).expand(len(x), -1, -1)
    x = pose_layers(torch.cat([x + places[:, visible], blank], dim=1), state, "Transformer_dec.model", heads)
    return pose_head(x, state, "fcn_dec", 2), torch.cat([visible, hidden])
