import subprocess
import sys
from importlib.metadata import version

import pytest

import crossfade


@pytest.mark.parametrize("name", crossfade.__all__)
def test_every_public_name_loads(name: str) -> None:
    assert getattr(crossfade, name).__module__.startswith("crossfade.")


def test_import_loads_no_heavy_library() -> None:
    check = "import crossfade, sys; print([m for m in ('torch', 'sklearn', 'urllib3', 'numpy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_version_is_that_of_the_package() -> None:
    assert crossfade.__version__ == version("crossfade")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'rum'"):
        getattr(crossfade, "rum")  # noqa: B009


def test_public_names_are_listed() -> None:
    assert set(crossfade.__all__) <= set(dir(crossfade))
