"""The project's version, for wheels, npm package and documentation. This module imports nothing."""

__version__ = "0.1.0"
