"""Formulas: arrays in, arrays out, no files, no models, no torch."""
