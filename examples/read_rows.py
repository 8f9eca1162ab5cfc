"""Read labelled texts from memory and from a file, and see how bad rows are told: all at once, each with its place.

python examples/read_rows.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import crossfade

corpus = crossfade.read_corpus([("it rains", "weather"), ("they won", "sports")])
print(f"{len(corpus)} rows of the classes {', '.join(corpus.labels)}")

with TemporaryDirectory() as folder:
    path = Path(folder, "labelled.csv")
    path.write_text("text,label\nit rains,weather\n,sports\nthey won,\n", encoding="utf-8")
    try:
        crossfade.read_corpus(path)
    except crossfade.CrossfadeError as error:
        print(error.message.replace(folder, "..."))
        print(f"-> {error.hint}")
