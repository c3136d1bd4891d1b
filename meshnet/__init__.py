"""MeshNet: small dilated 3-D convolutional networks for whole-brain MRI segmentation.

The Python reference of the project. Importing this package imports neither torch nor onnxruntime;
the modules that need them (`meshnet.model.network`, `meshnet.train.loop`, …) import them themselves.
"""

__version__ = "0.1.0"
