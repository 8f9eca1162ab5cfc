"""Hold the models that answer requests, and the store that keeps what they said.

`chat` speaks to any OpenAI-compatible endpoint (in the form that `wire` writes and reads), `embedded` runs llama.cpp in
this process, `scripted` answers from a table, and `replies` puts every answer on disk before anyone reads it.
"""
