"""Readers of foreign model files; each returns a `Source`: its tensors and what the file says about them."""
