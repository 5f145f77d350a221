"""One file a verb: read params.yaml, call the library on Ray, write the outputs DVC tracks.

Beside the verbs: `cluster` is all of Ray, `distributed` of Ray Train, `sweeping` of Ray Tune, `serving` of Ray Serve,
`tracking` and `registry` all of MLflow, `settings` the types of params.yaml, `places` the paths that stages share.
"""
