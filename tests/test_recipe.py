import re
from pathlib import Path

import pytest

from crossfade.comparing import compared
from crossfade.errors import SettingsError
from crossfade.methods.stepwise_calls import StepwiseSynthesisSettings
from crossfade.recipe import Recipe, as_recipe, read_recipe, write_recipe


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    (tmp_path / "pool.csv").touch()
    path = tmp_path / "recipe.toml"
    path.write_text('name = "mine"\n[data]\ntrain = "pool.csv"\ntest = "owner/set"\n', encoding="utf-8")
    return path


def test_files_are_found_from_the_recipes_folder_and_hub_ids_stay(recipe_file: Path) -> None:
    recipe = read_recipe(recipe_file)
    assert recipe.data.train == str(recipe_file.parent / "pool.csv")
    assert recipe.data.test == "owner/set"


def test_left_out_keys_have_their_defaults(recipe_file: Path) -> None:
    recipe = read_recipe(recipe_file)
    assert (recipe.writer.kind, recipe.judge.kind, recipe.comparison.splits) == ("embedded", "likelihood", 5)


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("seed=3", ("seed",), 3),
        ("method.mixing=false", ("method", "mixing"), False),
        ("comparison.shots=[0, 2]", ("comparison", "shots"), [0, 2]),
        ("data.kind=customer messages", ("data", "kind"), "customer messages"),
        ('data.label="class = x"', ("data", "label"), "class = x"),
        ("student.linear.strength=2", ("student", "linear", "strength"), 2.0),
    ],
)
def test_an_override_sets_its_key(recipe_file: Path, override: str, path: tuple[str, ...], value: object) -> None:
    found: object = read_recipe(recipe_file, [override])
    for part in path:
        found = getattr(found, part)
    assert found == value


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("method.texts_per_clas=3", "Unknown key 'method.texts_per_clas'. Did you mean 'texts_per_class'?"),
        ("sed=3", "Unknown key 'sed'. Did you mean 'seed'?"),
        ("method.texts_per_class=0", "'method.texts_per_class' is 0: "),
        ("seed", "'seed' is no setting. Write it as key.key=value"),
        ("name.first=1", "'name.first' goes through 'name', which is a value, not a table."),
        ("name=a/b", "'name' is 'a/b': "),
    ],
)
def test_a_wrong_override_is_refused(recipe_file: Path, override: str, message: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        read_recipe(recipe_file, [override])


def test_a_missing_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"There is no recipe '.*absent\.toml'"):
        read_recipe(tmp_path / "absent.toml")


def test_a_broken_recipe_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text('name = "x"\n[data\n', encoding="utf-8")
    with pytest.raises(SettingsError, match=r"broken\.toml' is not a TOML file: .*line 2"):
        read_recipe(path)


def test_a_written_recipe_reads_back_the_same(recipe_file: Path, tmp_path: Path) -> None:
    recipe = read_recipe(recipe_file, ["seed=7", "judge.kind=endpoint", "data.descriptions.cat=an animal"])
    written = tmp_path / "elsewhere" / "recipe.toml"
    written.parent.mkdir()
    write_recipe(recipe, written)
    assert read_recipe(written) == recipe


def test_a_recipe_may_be_given_as_file_values_or_itself(recipe_file: Path) -> None:
    recipe = as_recipe(recipe_file)
    assert as_recipe(recipe) is recipe
    assert as_recipe(recipe.model_dump()) == recipe
    assert isinstance(as_recipe(str(recipe_file)), Recipe)


def test_recipes_that_ship_are_valid_and_begin_with_their_command() -> None:
    folder = Path(__file__).parent.parent / "recipes"
    for path in folder.glob("*.toml"):
        if not path.name.endswith("_descriptions.toml"):
            assert path.read_text(encoding="utf-8").startswith(
                (f"# crossfade run recipes/{path.name}\n", f"# crossfade compare recipes/{path.name}\n")
            )
            # Methods that are the same are refused.
            assert compared(read_recipe(path))


@pytest.mark.parametrize("name", ["rte", "imdb", "adversarialqa"])
def test_the_recipes_of_stepwise_synthesis_are_recipes(name: str) -> None:
    recipe = read_recipe(Path(__file__).parent.parent / "recipes" / f"{name}.toml")
    assert recipe.name == name
    titles = set(compared(recipe))
    controls = ["rounds=0", "rounds=1", "extrapolate=seeds", "extrapolate=gold_rows", "extrapolate=verbatim"]
    if name == "imdb":
        # ZeroGen is a control of its own where seeds come from rationales.
        controls.append("rounds=0 rationales_per_label=0")
    assert titles == {"stepwise_synthesis", *(f"stepwise_synthesis ({control})" for control in controls)}
    # All of them run as many rounds: none stops before the others.
    assert isinstance(recipe.method, StepwiseSynthesisSettings)
    assert recipe.method.development_share == 0


def test_a_written_recipe_keeps_the_names_of_its_methods(tmp_path: Path) -> None:
    methods = [{"name": "promptmix", "mixing": False}, {"name": "aeda"}, {"name": "eda"}]
    recipe = Recipe.checked(
        {"name": "x", "data": {"train": "demo"}, "method": {"name": "eda"}, "comparison": {"methods": methods}}
    )
    write_recipe(recipe, tmp_path / "recipe.toml")
    assert read_recipe(tmp_path / "recipe.toml") == recipe
