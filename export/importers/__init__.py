"""Readers of the formats that meshnet-import accepts."""
