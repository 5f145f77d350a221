"""What the authors' files look like: how each network's parameters are called there, and how they lie."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

Pairs = tuple[tuple[str, str], ...]
UNKNOWN_LICENCE = "not known here: see the authors' repository before you pass these weights on"


@dataclass(frozen=True, kw_only=True)
class Format:
    """The files of one network.

    `sign` begins keys that no other network has. `names` turn our names into theirs, one substitution after the other;
    `{}` stands for three tensors, of queries, keys and values, that are one here. Where `pointwise` matches our name,
    theirs is a convolution over one frame; where `interleaved` does, the outputs run `(half, channel, qkv)` instead of
    `(half, qkv, channel)`.
    """

    network: str
    architecture: str
    sign: str
    names: Pairs
    pointwise: re.Pattern[str] | None = None
    interleaved: re.Pattern[str] | None = None
    kind: str = "lifter"
    licence: str = "the authors' code has no licence: ask them before you pass these weights on"

    def theirs(self, name: str) -> tuple[str, ...]:
        """The keys that one parameter of ours has in a file."""
        for ours, official in self.names:
            name = re.sub(ours, official, name)
        return tuple(name.format(part) for part in range(3)) if "{}" in name else (name,)

    def shapes(self, ours: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
        """Every key of a file and its shape, from our model's state."""
        wanted = {}
        for name, value in ours.items():
            keys = self.theirs(name)
            for key in keys:
                cut = (value.shape[0] // len(keys), *value.shape[1:]) if value.ndim else ()
                wanted[key] = (*cut, 1) if self.pointwise and self.pointwise.search(name) else cut
        return wanted

    def weights(self, ours: Mapping[str, Tensor], official: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Their tensors as ours: joined, reshaped and re-ordered, in our types. `ours` may be on the meta device."""
        made = {}
        for name, value in ours.items():
            parts = [official[key] for key in self.theirs(name)]
            tensor = (torch.cat(parts) if len(parts) > 1 else parts[0]).reshape(value.shape)
            if self.interleaved and self.interleaved.search(name):
                tensor = rearrange(tensor, "(half c n) ... -> (half n c) ...", half=2, n=3)
            made[name] = tensor.to(value.dtype).contiguous()
        return made


MIXSTE = Format(
    network="MixSTE",
    architecture="mixste",
    sign="STEblocks.",
    names=(
        (r"^joint_position$", "Spatial_pos_embed"),
        (r"^frame_position$", "Temporal_pos_embed"),
        (r"^embed\.", "Spatial_patch_to_embedding."),
        (r"^spatial_blocks\.", "STEblocks."),
        (r"^temporal_blocks\.", "TTEblocks."),
        (r"^spatial_norm\.", "Spatial_norm."),
        (r"^temporal_norm\.", "Temporal_norm."),
        (r"^head\.", "head.1."),
        (r"^head_norm\.", "head.0."),
    ),
)

STCFORMER = Format(
    network="STCFormer",
    architecture="stcformer",
    sign="stcformer.",
    interleaved=re.compile(r"\.attn\.qkv\."),
    names=(
        (r"^embed\.", "pose_emb."),
        (r"^head\.", "regress_head."),
        (r"^blocks\.", "stcformer.stc_block."),
        (r"\.norm2\.", ".layer_norm."),
        (r"\.norm1\.", ".stc_att.layer_norm."),
        (r"\.(fc\d)\.", r".mlp.\1."),
        (r"\.attn\.space\.grid\.", ".stc_att.sep2_s."),
        (r"\.attn\.time\.grid\.", ".stc_att.sep2_t."),
        (r"\.attn\.part\.", ".stc_att.emb."),
        (r"\.attn\.", ".stc_att."),
    ),
)

STCFORMER_3DHP = Format(
    network="STCFormer for MPI-INF-3DHP",
    architecture="stcformer_3dhp",
    sign="mlpmixer.",
    interleaved=re.compile(r"\.attn\.qkv\."),
    names=(
        (r"^embed\.", "pose_emb."),
        (r"^head\.", "pose_lift."),
        (r"^blocks\.", "mlpmixer.mixerblocks."),
        (r"\.unused_norm\.", ".layer_norm2."),
        (r"\.norm2\.", ".layer_norm1."),
        (r"\.norm1\.", ".cross_att.layer_norm."),
        (r"\.(fc\d)\.", r".mlp1.\1."),
        (r"\.attn\.space\.grid\.", ".cross_att.gate_s."),
        (r"\.attn\.time\.grid\.", ".cross_att.gate_t."),
        (r"\.attn\.part\.", ".cross_att.emb."),
        (r"\.attn\.", ".cross_att."),
    ),
)

_EMBEDDING: Pairs = (
    (r"^encoder\.embed\.first\.linear\.", "encoder.fc_1."),
    (r"^encoder\.embed\.first\.norm\.", "encoder.bn_1."),
    (r"^encoder\.embed\.inner\.0\.linear\.", "encoder.layers.0.w1."),
    (r"^encoder\.embed\.inner\.0\.norm\.", "encoder.layers.0.batch_norm1."),
    (r"^encoder\.embed\.inner\.1\.linear\.", "encoder.layers.0.w2."),
    (r"^encoder\.embed\.inner\.1\.norm\.", "encoder.layers.0.batch_norm2."),
    (r"^encoder\.embed\.last\.", "encoder.fc_2."),
    (r"^encoder\.position$", "Transformer.pos_embedding"),
    (r"^encoder\.(blocks|unused_norm)\.", r"Transformer.model.\1."),
)
_BLOCKS: Pairs = (
    (r"\.blocks\.", ".layers."),
    (r"\.attn\.qkv\.", ".self_attn.linears.{}."),
    (r"\.attn\.proj\.", ".self_attn.linears.3."),
    (r"\.feed\.first\.", ".feed_forward.w_1."),
    (r"\.feed\.last\.", ".feed_forward.w_2."),
    (r"\.norm1\.", ".sublayer.0.norm."),
    (r"\.norm2\.", ".sublayer.1.norm."),
    (r"\.unused_norm\.", ".norm."),
    (r"(\.norm|encoder_LN)\.weight$", r"\1.a_2"),
    (r"(\.norm|encoder_LN)\.bias$", r"\1.b_2"),
)

PSTMO = Format(
    network="P-STMO",
    architecture="pstmo",
    licence=UNKNOWN_LICENCE,
    sign="Transformer_reduce.",
    pointwise=re.compile(r"^encoder\.embed\.(.*linear|last)\.weight$|head\.linear\.weight$|^reduce\..*first\.weight$"),
    names=(
        *_EMBEDDING,
        (r"^sequence_head\.norm\.", "fcn_1.0."),
        (r"^sequence_head\.linear\.", "fcn_1.1."),
        (r"^head\.norm\.", "fcn.0."),
        (r"^head\.linear\.", "fcn.1."),
        (r"^reduce\.positions\.0$", "Transformer_reduce.model.pos_embedding_1"),
        (r"^reduce\.positions\.1$", "Transformer_reduce.model.pos_embedding_2"),
        (r"^reduce\.positions\.2$", "Transformer_reduce.model.pos_embedding_3"),
        (r"^reduce\.", "Transformer_reduce.model."),
        *_BLOCKS,
    ),
)

PSTMO_STAGE_1 = Format(
    network="P-STMO, stage I",
    architecture="pstmo",
    licence=UNKNOWN_LICENCE,
    kind="masked",
    sign="Transformer_dec.",
    pointwise=re.compile(r"^encoder\.embed\.(.*linear|last)\.weight$|head\.linear\.weight$"),
    names=(
        *_EMBEDDING,
        (r"^joint_token$", "spatial_mask_token"),
        (r"^decoder\.token$", "mask_token"),
        (r"^decoder\.position$", "dec_pos_embedding"),
        (r"^decoder\.norm\.", "encoder_LN."),
        (r"^decoder\.embed\.", "encoder_to_decoder."),
        (r"^keypoint_head\.norm\.", "fcn_dec.0."),
        (r"^keypoint_head\.linear\.", "fcn_dec.1."),
        (r"^decoder\.", "Transformer_dec.model."),
        *_BLOCKS,
    ),
)

FORMATS = (MIXSTE, PSTMO, PSTMO_STAGE_1, STCFORMER, STCFORMER_3DHP)
