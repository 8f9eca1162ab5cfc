"""Choose what is kept: duplicates out, labels checked, every loss with its reason."""
