"""What every process of the pipeline does, whichever verb it runs.

`environment` before anything else and `stage` as its entry point; `locks` and `ports` before what only one may have;
work `beside` a block of code; `progress` of long work, and `watching` what it takes.
"""
