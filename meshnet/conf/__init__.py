"""Hydra configuration groups of `meshnet-train` (YAML files)."""
