"""No secret gets through, whatever its form and however it is cut; and nothing else is touched, lost, or waits."""

from __future__ import annotations

import base64
import json
import re
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.stream.key_patterns import KEY_PATTERNS, KeyPattern, Run
from runtime.stream.redactor import REDACTED, Pieces, Redactor
from runtime.stream.secret_forms import forms_of

SECRET = 'pa/ss "wörd"+8%\\7'

KEYS = {
    "Anthropic": "sk-ant-api03-" + "aB3_-" * 16,
    "Headrace": "hr_k7Gd0aPq." + "aB3_-xYz" * 5,
    "OpenAI, of a project": "sk-proj-" + "aB3_-xYz" * 6,
    "OpenAI": "sk-" + "aB3xYz7Q" * 6,
    "AWS, long-lived": "AKIAIOSFODNN7EXAMPLE",
    "AWS, temporary": "ASIAIOSFODNN7EXAMPLE",
    "GitHub": "ghp_" + "aB3xYz" * 6,
    "GitHub, fine-grained": "github_pat_" + "aB3xYz_" * 8,
    "GitLab": "glpat-" + "aB3xYz_-" * 3,
    "Slack": "xoxb-1234567890-abcdefghij",
    "Google": "AIza" + "aB3_-xY" * 5,
    "Stripe": "sk_live_" + "aB3xYz" * 4,
    "Stripe, restricted": "rk_live_" + "aB3xYz" * 4,
    "private key block": "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA7/+x" * 3 + "\nAbCd==\n",
    "private key block, encrypted": "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES,0A\n\nAbCd/+==\n",
}


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        re.sub("%..", lambda found: found[0].lower(), quote(SECRET)),
    ],
)
def test_a_configured_value_is_taken_out_in_every_form(form: str) -> None:
    assert Redactor([SECRET]).text(f"it is {form}, they say") == f"it is {REDACTED}, they say"


@pytest.mark.parametrize("before", ["", "u", "us", "use", "user:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_of_base64_around_a_value_at_most_one_character_of_it_is_left_on_either_side(
    before: str, encode: object
) -> None:
    encoded = encode(f"{before}{SECRET}>> and more".encode()).decode()  # type: ignore[operator]
    whole = Redactor([SECRET]).text(encoded)
    left, _, right = whole.partition(REDACTED)
    assert REDACTED in whole
    begin, end = len(before.encode()) * 8, len(f"{before}{SECRET}".encode()) * 8
    assert len(left) * 6 <= begin + 6 and (len(encoded) - len(right)) * 6 >= end - 6


@pytest.mark.parametrize("name", [pattern.name for pattern in KEY_PATTERNS])
def test_what_looks_like_a_key_is_taken_out_although_nobody_configured_it(name: str) -> None:
    key = KEYS[name]
    for before, after in (("", ""), ("key: ", "! he said"), ('{"a":"\\n', '"}'), ("=", ";\n")):
        assert Redactor().text(before + key + after) == before + REDACTED + after


def test_every_kind_of_key_is_named_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    rows = {name.strip() for row in re.findall(r"^\| ([^|`]+) \| `", page, re.MULTILINE) for name in row.split(";")}
    assert {pattern.name for pattern in KEY_PATTERNS} <= rows


@pytest.mark.parametrize(
    "innocent",
    [
        "risk-antarctic-research-and-more-of-the-same-kind",
        "scikit and sk-learn, hr_ and gh_ and AKIA and xox",
        "It begins with -----BEGIN PRIVATE KEY----- and ends with -----END PRIVATE KEY-----, says the manual.",
        "MAKIAIOSFODNN7EXAMPLE",
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEF",
    ],
)
def test_what_only_begins_like_a_key_is_left_alone(innocent: str) -> None:
    assert Redactor().text(innocent) is innocent


def test_of_two_values_of_which_one_begins_like_the_other_both_go_whole() -> None:
    redactor = Redactor(["sesame-open", "sesame-open-wide"])
    assert redactor.text("sesame-open-wide! sesame-open!") == f"{REDACTED}! {REDACTED}!"


def test_all_texts_of_a_json_value_are_looked_at_keys_as_well() -> None:
    redactor = Redactor(["open-sesame"])
    value = {"a": ["x open-sesame", 1, None, True, {"open-sesame": 2.5}], "b": "c"}
    assert redactor.data(value) == {"a": [f"x {REDACTED}", 1, None, True, {REDACTED: 2.5}], "b": "c"}
    innocent = {"a": ["x", 1, {"k": ("y", None)}]}
    assert redactor.data(innocent) is innocent
    assert redactor.holds(value) and not redactor.holds(innocent)


def test_what_goes_over_from_one_text_to_the_next_is_taken_out_of_both() -> None:
    redactor = Redactor(["open-sesame"])
    assert redactor.texts(["say open", "", "-ses", "ame now"]) == [f"say {REDACTED}", "", "", " now"]
    assert redactor.texts(["a", "b"]) == ["a", "b"]


def test_a_value_that_stands_in_the_mark_itself_is_no_endless_story() -> None:
    assert Redactor(["redacted"]).text("redacted") == "redacted"


# --- pieces ----------------------------------------------------------------------------------------------------------

ALPHABET = "ab-"
SMALL: tuple[KeyPattern, ...] = (
    KeyPattern("small", ("k-", Run("[ab]", 2, 4))),
    KeyPattern("smaller", ("ka", Run("[b-]", 0, 2), ".", Run("[ab]", 1, 3))),
)
"""Patterns so short that random text is full of them."""

texts = st.text(alphabet="abk-. \\n", max_size=60)
values = st.sets(st.text(alphabet="abk-", min_size=1, max_size=9), max_size=4)


def cut(text: str, places: list[int]) -> list[str]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[begin:end] for begin, end in pairwise(edges)]


def is_a_beginning(held: str, redactor: Redactor, patterns: tuple[KeyPattern, ...]) -> bool:
    """Said in another way than the code does: some continuation makes it a secret, which it is not without."""
    if any(form.startswith(held) and form != held for form in redactor.forms):
        return True
    whole = re.compile("|".join(pattern.whole() for pattern in patterns))
    grown = {held}
    for _ in range(6):
        grown = {word + letter for word in grown for letter in "abk-."} if len(grown) < 2000 else grown
        if any((found := whole.match(word)) and found.end() > len(held) for word in grown):
            return True
    return False


@settings(max_examples=1500, deadline=None)
@given(text=texts, secrets=values, places=st.lists(st.integers(0, 60), max_size=12))
def test_whatever_the_cuts_the_pieces_are_together_the_redacted_text(
    text: str, secrets: set[str], places: list[int]
) -> None:
    redactor = Redactor(secrets, SMALL)
    pieces = Pieces(redactor)
    longest = max([*map(len, redactor.forms), 2 + 4, 2 + 2 + 1 + 3])
    passed = ""
    for piece in cut(text, places):
        passed += pieces.feed(piece)
        assert len(pieces.held) < longest
        assert not pieces.held or is_a_beginning(pieces.held, redactor, SMALL), pieces.held
        assert redactor.text(text).startswith(passed), "nothing that was passed on is taken back"
    assert passed + pieces.flush() == redactor.text(text)
    assert pieces.flush() == ""


@settings(max_examples=600, deadline=None)
@given(
    parts=st.lists(
        st.sampled_from([*KEYS.values(), "words ", "sk-", "\\n", "\\", "AKI", " -----BEGIN ", "a"]), max_size=6
    ),
    places=st.lists(st.integers(0, 100), max_size=60),
)
def test_keys_of_the_real_kinds_are_found_whatever_the_cuts(parts: list[str], places: list[int]) -> None:
    text, redactor = "".join(parts), Redactor(["correct-horse"])
    pieces = Pieces(redactor)
    assert "".join(map(pieces.feed, cut(text, places))) + pieces.flush() == redactor.text(text)


@settings(max_examples=600, deadline=None)
@given(texts=st.lists(texts, max_size=5), secrets=values)
def test_texts_side_by_side_are_together_the_redacted_text(texts: list[str], secrets: set[str]) -> None:
    redactor = Redactor(secrets, SMALL)
    clean = redactor.texts(texts)
    assert "".join(clean) == redactor.text("".join(texts))
    assert len(clean) == len(texts)


def test_a_secret_in_two_pieces_is_never_seen_and_innocent_words_do_not_wait() -> None:
    pieces = Pieces(Redactor(["open-sesame"]))
    said = ["The word is", " open-", "ses", "ame", ". Say ", "it, please"]
    assert list(map(pieces.feed, said)) == ["The word is", " ", "", REDACTED, ". Say ", "it, please"]
    assert pieces.flush() == ""


def test_a_key_behind_an_escape_that_was_cut_in_two_is_found() -> None:
    pieces = Pieces(Redactor())
    assert [pieces.feed('{"a": "\\'), pieces.feed("n" + KEYS["AWS, temporary"]), pieces.feed('"}')] == [
        '{"a": "\\', f"n{REDACTED}", '"}',
    ]  # fmt: skip


def test_what_was_held_back_and_was_no_secret_is_there_in_the_end() -> None:
    pieces = Pieces(Redactor(["open-sesame"]))
    assert (pieces.feed("it is open-se"), pieces.flush()) == ("it is ", "open-se")


def test_a_long_text_with_many_values_is_looked_at_in_another_way_with_the_same_result() -> None:
    many = [f"value-{n}-{n * 7919:x}-secret" for n in range(40)]
    redactor = Redactor(many)
    long = "innocent words " * 60
    assert redactor.text(long) is long
    for value in many:
        assert redactor.text(long + value + long) == long + REDACTED + long
    assert all(form in redactor.forms for value in many for form in forms_of(value))
