"""Pose lifters: trained, measured and used. 2D keypoints `t j c` in screen units to 3D joints `t j 3` in metres."""
