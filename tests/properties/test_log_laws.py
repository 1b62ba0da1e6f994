from __future__ import annotations

import json
from datetime import UTC

from hypothesis import given
from hypothesis import strategies as st

from cronos_git.rules.log_lines import LogLine, console_line, json_line, plain
from cronos_git.rules.visible import visible

texts = st.text(alphabet=st.one_of(st.characters(), st.sampled_from('\n\r\x1b\u2028\udcff"=|')))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), texts, st.binary(), st.datetimes(timezones=st.just(UTC))),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(texts, inner), st.tuples(inner, inner)),
    max_leaves=8,
)
lines = st.builds(
    LogLine,
    when=st.datetimes(timezones=st.just(UTC)),
    level=st.sampled_from(["INFO", "ERROR"]),
    name=texts,
    message=texts,
    fields=st.dictionaries(texts, values, max_size=4),
    exception=texts,
)


@given(lines)
def test_whatever_is_logged_is_one_json_object_in_ascii_on_one_line(line: LogLine) -> None:
    raw = json_line(line)
    assert raw.endswith(b"\n")
    assert raw.count(b"\n") == 1
    assert raw.isascii()
    found = json.loads(raw, parse_constant=lambda word: 1 / 0)
    assert (found["level"], found["name"]) == (line.level, plain(line.name))
    assert len(found) == 4 + len(line.fields) + bool(line.exception)


@given(lines)
def test_whatever_is_logged_reaches_no_terminal(line: LogLine) -> None:
    first, *trace = console_line(line, UTC).split("\n")
    assert first == visible(first)
    assert f" | {line.level:<8} | " in first
    assert all(text == visible(text) and text.startswith("    ") for text in trace)


@given(st.text(alphabet="abc/:@ ", max_size=30), st.text(alphabet="abc123-._", min_size=1))
def test_no_password_of_a_url_is_logged_at_any_depth(before: str, password: str) -> None:
    url = f"https://user:{password}@example.org/x"
    shown = json.dumps(plain({"a": [before, {"b": (url, f"see {url}")}]}))
    assert f":{password}@" not in shown
