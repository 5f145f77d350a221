"""What is done for one subject, as a task of the cluster: tables of recordings and of projections.

`captured` makes recordings of captures, `projected` projections of recordings, and `labelled` both of a data set that
brings its own 2D.
"""
