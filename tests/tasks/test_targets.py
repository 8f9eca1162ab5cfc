from tests.annotated_doubles import parsed

from crossfade.data import AnnotatedExample, Mention
from crossfade.data.parses import flatten
from crossfade.tasks.targets import as_target, from_target

ENTITIES = AnnotatedExample(
    ("Anna met Anna Karenina",),
    "entities",
    (),
    (Mention(0, "Anna", "person"), Mention(9, "Anna Karenina", "book_title")),
)


def test_intents_entities_and_parses_are_written_as_the_paper_has_them_predicted() -> None:
    assert as_target(AnnotatedExample(("x",), "intents", ("how_long", "pin"))) == "how_long;pin"
    assert as_target(ENTITIES) == "Anna [person] <sep> Anna Karenina [book title]"
    nested = flatten("[IN:CREATE_REMINDER Remind [SL:TODO [IN:GET_TODO [SL:DATE_TIME At 5 ] ] ] ]")
    assert as_target(nested) == "create reminder , get todo <sep> todo [get todo] , date time [at 5]"


def test_what_was_written_is_read_back() -> None:
    rows = [
        AnnotatedExample(("x",), "intents", ("how_long", "pin")),
        AnnotatedExample(("x",), "intents"),
        ENTITIES,
        flatten("[IN:CREATE_REMINDER Remind [SL:TODO [IN:GET_TODO [SL:DATE_TIME At 5 ] ] ] ]"),
        parsed("play it", ["play"]),
    ]
    for row in rows:
        again = from_target(as_target(row), row, row.attributes)
        assert as_target(again) == as_target(row)
        assert (again.intents, again.mentions) == (row.intents, row.mentions)


def test_what_has_not_the_form_is_left_out() -> None:
    assert from_target("create reminder", parsed("x", []), ()) == AnnotatedExample(("x",), "parses")
    assert from_target("just words", ENTITIES, ()).mentions == ()
    assert from_target("Zoe [person]", ENTITIES, ()).mentions == (Mention(-1, "Zoe", "person"),)
