"""Train a student without any language model: edited copies of the demo's texts, on a packaged encoder.

python examples/train_offline.py
"""

import crossfade

folder, student = crossfade.train(
    {
        "name": "offline",
        "data": {"train": "demo"},
        "method": {"name": "aeda", "texts_per_class": 10},
        "labels": {"check": "none"},
    }
)
scores = crossfade.evaluate(folder, "demo")
print(f"accuracy {scores.shares['accuracy']:.1%} on {scores.rows} texts that it has not seen")
for found in crossfade.predict(folder, [("my account is locked",), ("the parcel never came",)]):
    print(f"{found.label} ({found.probability:.0%}): {found.texts[0]}")
