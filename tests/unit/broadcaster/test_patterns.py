"""`$like` and `$regex`: what they match, that they are linear, and how bad ones are refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broadcaster.patterns import compile_like, compile_regex, like_parts, like_prefix, like_text
from support.reference_evaluator import matches


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("", "", True),
        ("", "a", False),
        ("%", "", True),
        ("%", "a\nb", True),
        ("a%", "abc", True),
        ("a%", "Abc", False),
        ("%c", "abc", True),
        ("%b%", "abc", True),
        ("a%a", "a", False),
        ("a%a", "aa", True),
        ("ab%bc", "abc", False),
        ("_", "𝒳", True),
        ("_", "", False),
        ("__", "𝒳", False),
        ("_\n_", "a\nb", True),
        (r"100\%", "100%", True),
        (r"100\%", "1000", False),
        (r"\_\\", "_\\", True),
        (r"\a", "a", True),
        ("a.b", "axb", False),
        ("%ab_d%", "xxabab_dabcd", True),
        ("%_", "", False),
    ],
)
def test_like(pattern: str, text: str, expected: bool) -> None:
    assert compile_like(pattern)(text) is expected


@settings(max_examples=500)
@given(st.text("ab%_", max_size=7), st.text("ab", max_size=9))
def test_like_means_what_the_reference_says(pattern: str, text: str) -> None:
    assert compile_like(pattern)(text) is matches({"a": {"$like": pattern}}, {"a": text})


@given(st.text("ab%_\\", max_size=7))
def test_equal_patterns_have_one_spelling(pattern: str) -> None:
    try:
        spelt = like_text(like_parts(pattern))
    except ValueError:
        assert (len(pattern) - len(pattern.rstrip("\\"))) % 2
    else:
        assert like_parts(spelt) == like_parts(pattern)
        assert like_text(like_parts(spelt)) == spelt


def test_like_prefix() -> None:
    assert [like_prefix(each) for each in ("abc", "ab%", "a_b", "%a", r"a\%b%", "")] == [
        "abc",
        "ab",
        "a",
        "",
        "a%b",
        "",
    ]


def test_no_pattern_is_slow() -> None:
    """Both would take longer than the universe has if anything were tried twice."""
    text = "a" * 50_000 + "!"
    assert not compile_like("%a" * 400 + "%b")(text)
    assert not compile_regex("(a*)*b")(text)


@pytest.mark.parametrize(
    ("pattern", "flags", "text", "expected"),
    [
        ("b+", "", "abbc", True),
        ("^b", "", "abc", False),
        ("^b", "m", "a\nb", True),
        ("B", "i", "abc", True),
        ("a.b", "", "a\nb", False),
        ("a.b", "s", "a\nb", True),
        ("É", "i", "é", True),
        ("^.$", "", "𝒳", True),
        ("a", "", "\ud800a", True),
        ("", "", "", True),
        ("a|b", "i", "B", True),
    ],
)
def test_regex(pattern: str, flags: str, text: str, expected: bool) -> None:
    assert compile_regex(pattern, flags)(text) is expected


@pytest.mark.parametrize(
    "pattern", ["(", "(?=a)", r"(a)\1", "a{2000}", "(a{900}){900}", "\ud800", "(?:((a{100}){10}){10}){10}"]
)
def test_bad_regex_says_why(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"\w{4}"):
        compile_regex(pattern)
