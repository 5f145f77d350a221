"""How good predictions are: `scores`, summed up by a data set's `protocols`, and two models compared (`paired`)."""
