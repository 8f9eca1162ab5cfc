"""Measure students on real held-out data, with and without synthetic rows."""
