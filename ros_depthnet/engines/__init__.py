"""Run a model: ONNX Runtime or torch, and the card that says what the model wants."""
