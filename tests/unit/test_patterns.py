from __future__ import annotations

import pytest

from cronos_git.errors import PatternError
from cronos_git.rules.patterns import DEFAULT_EXCLUDES, SEARCH, SKIP, TAKE, Matcher, build_matcher


def matcher(*exclude: str, include: tuple[str, ...] = (), request: tuple[str, ...] = ()) -> Matcher:
    return build_matcher(defaults=(), exclude=exclude, include=include, request_exclude=request)


def judge(rules: Matcher, path: str) -> int:
    """The verdict on *path*; a directory is written with a slash at its end."""
    plain = path.rstrip("/")
    return rules.judge(plain, plain.rpartition("/")[2], path.endswith("/"))


@pytest.mark.parametrize("path", ["src/__pycache__/", "a.pyc", "src/a.pyc", ".venv/", "web/node_modules/"])
def test_default_exclusions_leave_out_what_tools_make(path: str) -> None:
    rules = build_matcher(defaults=DEFAULT_EXCLUDES, exclude=(), include=())
    assert judge(rules, path) == SKIP


@pytest.mark.parametrize("path", ["a.py", "venv", "node_modules", "src/", "build/", ".env", "a.pyc.txt"])
def test_default_exclusions_take_everything_else(path: str) -> None:
    rules = build_matcher(defaults=DEFAULT_EXCLUDES, exclude=(), include=())
    assert judge(rules, path) == TAKE


def test_a_later_negation_takes_back_an_exclusion() -> None:
    rules = matcher("*.log", "!keep.log")
    assert (judge(rules, "a.log"), judge(rules, "keep.log"), judge(rules, "deep/keep.log")) == (SKIP, TAKE, TAKE)


def test_an_earlier_negation_takes_nothing_back() -> None:
    assert judge(matcher("!keep.log", "*.log"), "keep.log") == SKIP


def test_anchored_patterns_match_only_from_the_root() -> None:
    rules = matcher("/build", "doc/*.html")
    assert [judge(rules, path) for path in ("build/", "a/build/", "doc/x.html", "doc/a/x.html", "a/doc/x.html")] == [
        SKIP, TAKE, SKIP, TAKE, TAKE,
    ]  # fmt: skip


def test_ignore_files_apply_below_their_directory_and_deeper_ones_win() -> None:
    top = matcher().below("", [b"*.tmp\n"])
    inner = top.below("a", [b"!keep.tmp\n/only\n"])
    assert judge(top, "keep.tmp") == SKIP
    assert judge(inner, "a/keep.tmp") == TAKE
    assert judge(inner, "a/only") == SKIP
    assert judge(inner, "a/b/only") == TAKE


def test_a_cronosignore_file_outranks_a_deeper_gitignore_file() -> None:
    rules = matcher().below("", [b"", b"!secret\n"]).below("a", [b"secret\n", b""])
    assert judge(rules, "a/secret") == TAKE


def test_a_requests_exclusion_outranks_ignore_files() -> None:
    rules = matcher(request=("*.iso",)).below("", [b"!*.iso\n"])
    assert judge(rules, "a.iso") == SKIP


def test_ignore_files_outrank_the_configuration() -> None:
    assert judge(matcher("*.iso").below("", [b"!*.iso\n"]), "a.iso") == TAKE


def test_ignore_files_with_windows_line_ends_and_a_byte_order_mark_are_understood() -> None:
    rules = matcher().below("", [b"\xef\xbb\xbf*.tmp\r\n\r\n# comment\r\nname\\ \r\n"])
    assert [judge(rules, path) for path in ("a.tmp", "# comment", "name ", "name")] == [SKIP, TAKE, SKIP, TAKE]


def test_names_that_are_not_utf8_are_matched() -> None:
    name = b"\xff.tmp".decode("utf-8", "surrogateescape")
    assert judge(matcher("*.tmp", "?.dat"), name) == SKIP
    assert judge(matcher().below("", [b"\xff.tmp\n"]), name) == SKIP


def test_names_with_line_breaks_are_matched() -> None:
    assert judge(matcher("*.tm?", "/a/**/b"), "x\ny.tmp") == SKIP
    assert judge(matcher("/a/**/b"), "a/x\ny/b") == SKIP


def test_an_included_file_leads_the_walk_into_excluded_directories() -> None:
    rules = matcher("build/", include=("/build/out/keep.txt",))
    inside = rules.inside_skipped()
    assert judge(rules, "build/") == SEARCH
    assert judge(rules, "other/build/") == SKIP
    assert judge(inside, "build/out/") == SEARCH
    assert judge(inside, "build/tmp/") == SKIP
    assert judge(inside, "build/out/keep.txt") == TAKE
    assert judge(inside, "build/out/other.txt") == SKIP


def test_everything_below_an_included_directory_is_taken() -> None:
    rules = matcher("vendor/", "*.o", include=("vendor/",))
    assert [judge(rules, path) for path in ("vendor/", "vendor/a.o", "vendor/deep/b.o", "c.o")] == [TAKE, TAKE, TAKE, SKIP]


def test_an_included_name_is_searched_for_in_every_excluded_directory() -> None:
    rules = matcher("build/", include=("*.conf",))
    assert judge(rules, "build/") == SEARCH
    assert judge(rules.inside_skipped(), "build/deep/") == SEARCH
    assert judge(rules.inside_skipped(), "build/deep/a.conf") == TAKE


def test_ignore_files_inside_an_excluded_directory_do_not_count() -> None:
    inside = matcher("build/", include=("a.conf",)).inside_skipped().below("build", [b"a.conf\n!b.conf\n"])
    assert (judge(inside, "build/a.conf"), judge(inside, "build/b.conf")) == (TAKE, SKIP)


@pytest.mark.parametrize(
    "pattern", ["", " ", "/", "!", "# note", "a[", "a\\", "[[:nope:]]", "./build", "../up", "a//b", "a/./b", "a\nb", "a\0b"]
)
def test_patterns_that_are_broken_or_match_nothing_are_refused_by_name(pattern: str) -> None:
    with pytest.raises(PatternError) as caught:
        matcher("fine", pattern)
    assert repr(pattern) in caught.value.message
    assert caught.value.hint


def test_a_negated_include_is_refused() -> None:
    with pytest.raises(PatternError, match="'!a'"):
        matcher(include=("!a",))


def test_broken_lines_of_ignore_files_match_nothing() -> None:
    rules = matcher().below("", [b"a[\nb\\\n[[:nope:]]\nc\n"])
    assert [judge(rules, name) for name in ("a[", "b\\", "a", "c")] == [TAKE, TAKE, TAKE, SKIP]


def test_patterns_of_many_stars_are_answered_at_once() -> None:
    rules = matcher("*a*a*a*a*a*a*a*a*a*a*b", "/x/*a*a*a*a*a*a*a*a*a*b")
    assert judge(rules, "x/" + "a" * 250) == TAKE


def test_equal_rules_have_equal_digests() -> None:
    assert matcher("/a", "b/c").digest == matcher("/a ", "/b/c").digest
    assert len(matcher().digest) == 16


def test_each_change_of_the_rules_changes_the_digest() -> None:
    base = matcher("a", "b")
    digests = [
        base.digest,
        matcher("a").digest,
        matcher("b", "a").digest,
        matcher("a", "b/").digest,
        matcher("a", "!b").digest,
        matcher("a", request=("b",)).digest,
        matcher("a", include=("b",)).digest,
        matcher("ab").digest,
        base.inside_skipped().digest,
        base.below("d", [b"c\n"]).digest,
        base.below("e", [b"c\n"]).digest,
        base.below("d", [b"c\n", b""]).digest,
        base.below("d", [b"c\n"]).below("d/e", [b"c\n"]).digest,
    ]
    assert len(set(digests)) == len(digests)


def test_an_ignore_file_without_patterns_changes_nothing() -> None:
    rules = matcher("a")
    assert rules.below("d", [b"# nothing\n\n"]) is rules
