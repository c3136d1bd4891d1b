"""`make gpu-bundle`: one archive for a machine that has PyTorch, perhaps a GPU, and no network."""
