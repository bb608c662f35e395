from __future__ import annotations

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from cdc.config_reader import Reader, Secret
from cdc.errors import ConfigError


def root(text, **environ):
    return Reader.of(text, "file.yaml", environ)


def value(text, **environ):
    return root(f"key: {text}", **environ).mapping()["key"]


def failure(call, *arguments):
    with pytest.raises(ConfigError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def complaint_about(text):
    """Read all of a document as text; the ConfigError's message, if any."""

    def walk(reader):
        if reader.is_mapping:
            for entry in reader.mapping().values():
                walk(entry)
        elif reader.is_list:
            for entry in reader.items():
                walk(entry)
        else:
            reader.string()

    try:
        walk(Reader.of(text, "file.yaml", {}))
    except ConfigError as error:
        return str(error)
    except RecursionError:
        assert "*" in text  # an alias of itself, which no schema follows
    return None


def test_a_secret_is_shown_to_nobody_who_does_not_ask():
    secret = Secret("hunter2")
    assert secret.reveal() == "hunter2"
    for text in (str(secret), repr(secret), f"{secret}", f"{[secret]}", "%s" % secret):  # noqa: UP031
        assert "hunter2" not in text
    assert secret == Secret("hunter2")
    assert secret != Secret("other")
    assert secret != "hunter2"
    assert hash(secret) == hash(Secret("hunter2"))


@pytest.mark.parametrize("text", ["", "# only a comment\n", "\ufeff"])
def test_an_empty_file(text):
    assert failure(root, text).startswith("file.yaml: the file is empty; it needs at least `id`")


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        ("a: b: c", "file.yaml:1:5: ", "mapping values are not allowed here"),
        ("a: 1\nb: [1, 2\nc: 3\n", "file.yaml:3:2: ", "while parsing a flow sequence"),
        ("a:\n\tb: 1\n", "file.yaml:2:1: ", r"found character '\t' that cannot start any token"),
        ('a: "open', "file.yaml:1:9: ", "unexpected end of stream"),
        ("a: 1\n---\nb: 2\n", "file.yaml:2:1: ", "expected a single document in the stream"),
        ("a: 1\nb: \x07\n", "file.yaml:2: ", "the character U+0007 may not be in a file"),
        ("a: \ud800", "file.yaml:1: ", "U+D800"),
        ('a: "\\UFFFFFFFF"', "file.yaml: ", "out of range"),
        ('a: "\\U00110000"', "file.yaml: ", "out of range"),
        ("%YAML 1." + "9" * 5000 + "\n---\na: 1\n", "file.yaml: ", "out of range"),
        ("[" * 5000, "file.yaml: ", "nested too deeply"),
        ("{a: " * 5000, "file.yaml: ", "nested too deeply"),
    ],
)
def test_what_is_no_yaml(text, at, words):
    message = failure(root, text)
    assert message.startswith(f"{at}not YAML")
    assert words in message


@pytest.mark.parametrize(
    "text",
    [
        "secret: *hunter2",
        "secret: !hunter2!word",
        "secret: [hunter2",
        "secret: 'hunter2",
        "secret: `hunter2",
        "secret: @hunter2",
        "secret: %hunter2",
        "secret: |hunter2",
        "secret: hunter2: x",
        "secret: hunter2\n  next: x",
        "secret: &hunter2 &again x",
        "%TAG ! hunter2 x",
        "secret: !<hunter2",
        "%hunter2\nsecret: x",
    ],
)
def test_a_syntax_error_shows_nothing_of_a_value(text):
    assert "hunter2" not in failure(root, text)


def test_an_error_names_file_line_and_path():
    reader = root("a:\n  - one\n  - b:\n      c: no\n").mapping()["a"]
    leaf = list(reader.items())[1].mapping()["b"].mapping()["c"]
    assert failure(leaf.boolean) == "file.yaml:4: a[1].b.c: must be true or false, not 'no'"
    assert failure(root("---\n").mapping).endswith("the file: must be a mapping of keys, not nothing")
    assert failure(root("- 1").mapping) == "file.yaml:1: the file: must be a mapping of keys, not a list"


def test_an_unknown_key_names_the_nearest_or_all():
    reader = root("isRealtimeEnabld: 1")
    known = ("isRealtimeEnabled", "rules")
    assert failure(reader.mapping, known) == (
        "file.yaml:1: isRealtimeEnabld: unknown key; did you mean `isRealtimeEnabled`?"
    )
    assert failure(root("xyz: 1").mapping, known).endswith("known here: isRealtimeEnabled, rules")


def test_a_key_that_stands_twice():
    assert failure(root("a: 1\nb: 2\na: 3\n").mapping) == "file.yaml:3: a: the key stands here twice"


@pytest.mark.parametrize(
    "key",
    ["postgresql://app:hunter2@db/app", "[hunter2, x]", '"hunter2\\n"', "{hunter2: x}", '"hunter2="', '""'],
)
def test_a_key_that_is_no_name_is_not_shown(key):
    message = failure(root(f"? {key}\n: 1").mapping)
    assert message == "file.yaml:1: the file: a key here is not a plain name"


def test_what_is_not_the_wanted_shape():
    assert failure(value("[1]").mapping).endswith("key: must be a mapping of keys, not a list")
    assert failure(value("").mapping).endswith("key: must be a mapping of keys, not nothing")
    assert failure(value("text").mapping).endswith("key: must be a mapping of keys, not a value")
    assert failure(list, value("{a: 1}").items()).endswith("key: must be a list, not a mapping")
    assert failure(value("{a: 1}").string).endswith("key: must be a value, not a mapping")
    for nothing in ("", "~", "null", "!!null x"):
        assert failure(value(nothing).string).endswith("key: must be a value, not nothing")
    assert failure(value('""').string).endswith("key: must not be empty")


def test_kinds_of_nodes():
    assert value("{a: 1}").is_mapping
    assert value("[1]").is_list
    assert value("~").is_null
    assert not value("''").is_null
    assert not value("1").is_mapping
    assert not value("1").is_list


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("${NAME}", "value"),
        ("a-${NAME}-${OTHER}-z", "a-value-${NAME}-z"),  # what a variable holds is not read again
        ("$${NAME}", "${NAME}"),
        ("$$", "$"),
        ("$$$$", "$$"),
        ("$$${NAME}", "$value"),
        ("a$b", "a$b"),
        ("$", "$"),
        ("'${NAME}'", "value"),
        ("!!str 12", "12"),
        ("12", "12"),
        ("0x1F", "0x1F"),
        ("yes", "yes"),
        ("2026-01-01", "2026-01-01"),
    ],
)
def test_text_and_variables(text, wanted):
    assert value(text, NAME="value", OTHER="${NAME}").string() == wanted


def test_variables_that_cannot_be():
    assert failure(value("${MISSING}").string) == (
        "file.yaml:1: key: the environment variable MISSING is not set"
    )
    assert failure(value("${EMPTY}", EMPTY="").string).endswith("must not be empty")
    for text in ("'${}'", "'${a-b}'", "'${1x}'", "'${open'", "'${A:-hunter2}'"):
        message = failure(value(text).string)
        assert message.endswith("write ${NAME}, or $$ for a dollar sign")
        assert "hunter2" not in message


@pytest.mark.parametrize("held", ["a\0b", "caf\udce9"])
def test_a_variable_that_holds_no_text(held):
    assert failure(value("${NAME}", NAME=held).string).endswith("a zero byte, or bytes that are not UTF-8")


@pytest.mark.parametrize("text", ["!hunter2", "!hunter2 rest", "!<x> hunter2"])
def test_an_unquoted_exclamation_mark_does_not_change_a_value_in_silence(text):
    message = failure(value(text).string)
    assert message.endswith("what begins with ! is a tag in YAML; put the value in quotes")
    assert "hunter2" not in message


def test_choice():
    assert value("deny").choice(("allow", "deny")) == "deny"
    assert failure(value("alow").choice, ("allow", "deny")).endswith(
        "must be one of allow, deny, not 'alow'; did you mean `allow`?"
    )
    assert failure(value("xyz").choice, ("allow", "deny")).endswith("must be one of allow, deny, not 'xyz'")


@pytest.mark.parametrize(("text", "wanted"), [("true", True), ("FALSE", False), ("'True'", True)])
def test_boolean(text, wanted):
    assert value(text).boolean() is wanted


@pytest.mark.parametrize("text", ["yes", "on", "1", "''", "truee"])
def test_what_is_no_boolean(text):
    assert "must be true or false" in failure(value(text).boolean)


def test_whole():
    assert value("1").whole() == 1
    assert value("007").whole() == 7


@pytest.mark.parametrize("text", ["0", "-1", "+1", "1.5", "1e3", "٣", "²", "ten", "9" * 5000])
def test_what_is_no_whole_number(text):
    assert "must be a whole number, 1 or more" in failure(value(text).whole)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("1", 1), ("1B", 1), ("2 KiB", 2048), ("64MiB", 64 << 20), ("1GiB", 1 << 30), ("3TiB", 3 << 40)],
)
def test_size(text, wanted):
    assert value(text).size() == wanted


@pytest.mark.parametrize(
    "text", ["0", "0MiB", "1MB", "1mib", "1.5GiB", "-1", "MiB", "9" * 5000, "9" * 15 + "TiB"]
)
def test_what_is_no_size(text):
    assert "must be a size such as" in failure(value(text).size)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("500ms", 0.5), ("1s", 1.0), ("1.5 m", 90.0), ("24h", 86_400.0), ("7d", 604_800.0)],
)
def test_duration(text, wanted):
    assert value(text).duration() == wanted


@pytest.mark.parametrize("text", ["0s", "0.0h", "5", "1w", "-1s", "1,5s", "s", "9" * 500 + "s", "inf", "nan"])
def test_what_is_no_duration(text):
    assert "must be a duration such as" in failure(value(text).duration)


@pytest.mark.parametrize("read", ["boolean", "whole", "size", "duration"])
def test_an_error_never_shows_what_the_environment_holds(read):
    message = failure(getattr(value("${NAME}", NAME="hunter2"), read))
    assert message.endswith("not '${NAME}'")
    assert "hunter2" not in failure(value("${NAME}", NAME="hunter2").choice, ("hunter", "deny"))


def test_a_long_value_is_cut():
    assert len(failure(value("x" * 10_000).boolean)) < 200


def test_aliases_are_what_they_stand_for():
    reader = root("a: &limits {x: 1}\nb: *limits\n").mapping()
    assert reader["b"].mapping()["x"].whole() == 1
    assert reader["b"].mapping()["x"].path == "b.x"


def test_an_alias_of_itself_is_finite():
    reader = root("a: &a {b: *a}").mapping()["a"]
    assert reader.mapping()["b"].mapping()["b"].path == "a.b.b"
    assert failure(root("a: &a [*a]").mapping()["a"].string).endswith("must be a value, not a list")


def test_many_aliases_of_aliases_are_not_unfolded():
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)]
    assert len(list(root("\n".join(lines)).mapping()["a39"].items())) == 9


def test_merge_keys_are_refused():
    message = failure(root("a: &a {x: 1}\nb:\n  <<: *a\n").mapping()["b"].mapping)
    assert message == "file.yaml:3: b.<<: merge keys are not supported; an alias (`key: *name`) is"


@given(
    st.text(st.characters(codec=None), max_size=60)
    | st.text("ab:-[]{}&*!|>%@`'\"#?,<~\\\n\t 01$", max_size=60)
)
@example("? \n: ")
@example("&a ? *a")
def test_whatever_the_text_only_config_errors_leave(text):
    complaint = complaint_about(text)
    assert complaint is None or (complaint.startswith("file.yaml") and "\n" not in complaint)


@given(
    st.recursive(
        st.text(max_size=8), lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner)
    )
)
def test_whatever_is_dumped_is_read(document):
    complaint = complaint_about(yaml.safe_dump(document, allow_unicode=True))
    assert complaint is None or complaint.startswith("file.yaml:")
