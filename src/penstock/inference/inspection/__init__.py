"""Read what a model folder says of itself, without running it and without numpy, onnx or onnxruntime."""
