"""Export models as ONNX, TF.js or web bundle, verified against PyTorch; import models of other projects."""
