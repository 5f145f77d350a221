"""A lifter as a file that runs without this library, ONNX or torch.export's, checked against the model it is of."""
