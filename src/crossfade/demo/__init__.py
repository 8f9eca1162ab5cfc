"""The help-desk data set that ships with the project: 8 intents, 96 pool texts, 240 test texts."""

from pathlib import Path

POOL = Path(__file__).parent / "pool.csv"
TEST = Path(__file__).parent / "test.csv"
