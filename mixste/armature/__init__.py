"""From joints to an armature: constant bone lengths, joint angles without flips, and a BVH file of both.

At rest the person stands in T-pose, faces +Z, Y is up and X to their left; `rest.yaml` has it. Bones are fitted from
the root outwards, each aimed at the place its joint really has, so that errors do not add up along a limb.
"""

from mixste.armature.bvh import to_bvh, write_armature
from mixste.armature.fitting import Fit, fit, fit_bones

__all__ = ["Fit", "fit", "fit_bones", "to_bvh", "write_armature"]
