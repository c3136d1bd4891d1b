"""MeshNet: small dilated 3-D convolutional networks for whole-brain MRI segmentation.

The Python side of the project and its reference. Importing this package imports neither torch nor onnxruntime; modules
that need them (`meshnet.model.network`, `meshnet.train.loop`, …) import them.
"""

__version__ = "0.1.0"
