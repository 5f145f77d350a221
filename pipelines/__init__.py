"""One file a verb: read params.yaml, call the library on Ray, write the outputs DVC tracks.

Beside the verbs: `params` and `settings` are the typed params.yaml, `recipes` the trainings it asks for, `places` the
paths that stages share. `cluster` starts or joins Ray, `distributed` is Ray Train, `sweeping` what a sweep does on Ray
Tune, `serving` what `serve` puts on Ray Serve. `tracking`, `registry` and `store` below them are all of MLflow, and
`evaluation` is how models are scored and reported.
"""
