"""Decide about written rows without the page: what a program finds goes the same way as what a person finds.

python examples/review_in_python.py
"""

import crossfade
from crossfade.runs import review_session

recipe = {
    "name": "reviewed",
    "data": {"train": "demo"},
    "method": {"name": "aeda", "texts_per_class": 5},
    "labels": {"check": "none"},
}
folder, made = crossfade.augment(recipe)
session = review_session(folder)
for key, shown in session.rows.items():
    text = shown.row.example.text
    if len(text) > 100:
        session.decide(key, drop=True)
    elif ";" in text:
        session.decide(key, texts=[text.replace(" ;", "")])
folder, student = crossfade.train(recipe)
print(crossfade.reviewed(folder).sentence)
session.undo()
print(crossfade.reviewed(folder).sentence)
