"""Crossfade turns a handful of labelled texts into a small, fast model."""
