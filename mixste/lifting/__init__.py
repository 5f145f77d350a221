"""From pixels of any layout and fps to what a model takes and back, a block of frames at a time.

`pixels` checks and cleans what a user hands in, `prepared` maps it onto the model's joints and fills gaps, `timing`
changes the frame rate, `streaming` runs the windows, and `survey` counts what is odd.
"""
