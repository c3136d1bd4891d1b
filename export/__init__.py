"""Trained model to files (ONNX, TF.js, web bundle), files of others to our checkpoint, verification."""
