"""One file a verb: read params.yaml, call the library on Ray, write the outputs DVC tracks."""
