"""Prompts as text files, the code that fills them, and the code that reads replies."""
