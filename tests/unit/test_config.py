from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from cronos_git.errors import ConfigError
from cronos_git.rules.config import Layer, LayerName, Settings, environment_layer, resolve_settings
from cronos_git.rules.config_page import configuration_reference, sample_toml
from cronos_git.rules.legacy import lower_keys, translate_egos
from cronos_git.rules.schema import KEYS, format_size, parse_size

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "configuration.md"


def layer(name: LayerName = "user", origin: str = "/u/config.toml", **values: object) -> Layer:
    return Layer(name=name, origin=origin, values=values)


def settings(**values: object) -> Settings:
    return resolve_settings([layer(**values)]).settings


def refused(*layers: Layer) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        resolve_settings(layers)
    return caught.value


# --- layers -------------------------------------------------------------------------------------------------------


def test_no_layers_give_the_defaults() -> None:
    resolved = resolve_settings([])
    assert resolved.settings == Settings()
    assert set(resolved.origins.values()) == {"default"}


def test_a_higher_layer_replaces_a_value_and_is_its_origin() -> None:
    resolved = resolve_settings(
        [
            layer(retention_days=10, max_backups=5, exclude=["a"]),
            layer("project", "/p/cronos.toml", retention_days=20, exclude=["b"]),
            environment_layer({"CRONOS_MAX_BACKUPS": "7", "PATH": "/bin"}),
            layer("flags", "command line", lock_wait=2),
        ]
    )
    assert (resolved.settings.retention_days, resolved.settings.max_backups, resolved.settings.exclude) == (20, 7, ("b",))
    assert resolved.origins["retention_days"] == "/p/cronos.toml"
    assert resolved.origins["max_backups"] == "environment variable CRONOS_MAX_BACKUPS"
    assert resolved.origins["lock_wait"] == "--lock-wait"
    assert resolved.sources["exclude"] == "project"
    assert resolved.sources["name"] == "default"


def test_rows_show_every_key_with_its_value_as_toml() -> None:
    resolved = resolve_settings([layer(exclude=["*.iso", 'q"'], modules={"core": "src/core"}, chunk_threshold="2 MiB")])
    rows = {key: (value, origin) for key, value, origin in resolved.rows()}
    assert list(rows) == list(KEYS)
    assert rows["exclude"] == ('["*.iso", "q\\""]', "/u/config.toml")
    assert rows["auto_prune"] == ("true", "default")
    for key, (value, _) in rows.items():
        assert resolve_settings([layer(**tomllib.loads(f"{key} = {value}"))]).settings == Settings(
            **{key: getattr(resolved.settings, key)}
        )


def test_an_unknown_key_is_refused_with_the_nearest_name() -> None:
    error = refused(layer(retention_day=3))
    assert "retention_day" in error.message
    assert "/u/config.toml" in error.message
    assert "retention_days" in error.hint
    assert error.exit_status == 2


def test_an_unknown_environment_variable_is_refused_by_its_name() -> None:
    assert "CRONOS_MAX_BACKUP)" in refused(environment_layer({"CRONOS_MAX_BACKUP": "3"})).message


def test_a_project_file_cannot_set_what_is_the_users_alone() -> None:
    error = refused(layer("project", "/p/cronos.toml", lock_wait=1))
    assert "lock_wait" in error.message
    assert "/p/cronos.toml" in error.message


def test_a_bad_value_is_refused_even_when_a_higher_layer_replaces_it() -> None:
    assert "/u/config.toml" in refused(layer(retention_days="many"), layer("flags", "", retention_days=3)).message


# --- values -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "raw", "value"),
    [
        ("retention_days", "14", 14),
        ("keep_last", 0, 0),
        ("auto_prune", "no", False),
        ("auto_prune", "TRUE", True),
        ("lock_wait", 3, 3.0),
        ("lock_wait", "0.5", 0.5),
        ("chunk_threshold", "1 MiB", 1 << 20),
        ("chunk_threshold", 1 << 20, 1 << 20),
        ("chunk_threshold", "40MB", 40_000_000),
        ("git_dirs", "include", "include"),
        ("keep_within", "1y6m14d12h", "1y6m14d12h"),
        ("keep_within", "", ""),
        ("exclude", ["a", "!b"], ("a", "!b")),
        ("modules", {"core": "./src/core/", "web": ["b", "a"]}, {"core": ("src/core",), "web": ("a", "b")}),
    ],
)
def test_an_allowed_value_is_taken_in_its_form(key: str, raw: object, value: object) -> None:
    assert getattr(settings(**{key: raw}), key) == value


@pytest.mark.parametrize(
    ("key", "raw"),
    [
        ("retention_days", True),
        ("retention_days", -1),
        ("retention_days", 1.5),
        ("retention_days", "30 days"),
        ("retention_days", None),
        ("max_backups", "9" * 5000),
        ("auto_prune", 1),
        ("auto_prune", "maybe"),
        ("lock_wait", float("nan")),
        ("lock_wait", "inf"),
        ("lock_wait", -1),
        ("lock_wait", False),
        ("lock_wait", []),
        ("lock_wait", "soon"),
        ("chunk_threshold", (1 << 20) - 1),
        ("chunk_threshold", "32 Mi"),
        ("chunk_threshold", "-32 MiB"),
        ("chunk_threshold", False),
        ("git_dirs", "keep"),
        ("git_dirs", ["skip"]),
        ("keep_within", "14 days"),
        ("keep_within", 14),
        ("name", ""),
        ("name", 5),
        ("backup_dir", ""),
        ("backup_dir", "a\0b"),
        ("exclude", "*.iso"),
        ("exclude", [1]),
        ("exclude", ["a["]),
        ("include", ["!a"]),
        ("modules", ["a"]),
        ("modules", {"a": []}),
        ("modules", {"a": "../b"}),
        ("modules", {"a": "/b"}),
        ("modules", {"a": "."}),
        ("modules", {"a": 3}),
        ("modules", {"": "a"}),
    ],
)
def test_a_refused_value_is_told_with_key_place_and_what_is_allowed(key: str, raw: object) -> None:
    error = refused(Layer(name="user", origin="/u/config.toml", values={key: raw}))
    assert f"`{key}`" in error.message
    assert repr(raw) in error.message
    assert "/u/config.toml" in error.message
    assert KEYS[key].allowed in error.hint


def test_a_bad_pattern_is_named() -> None:
    assert "'a['" in refused(layer(exclude=["ok", "a["])).message


@pytest.mark.parametrize("size_bytes", [1, 1023, 1024, 1 << 20, 32 << 20, 3 << 30, 5 << 40, 40_000_000])
def test_sizes_are_written_so_that_they_read_the_same(size_bytes: int) -> None:
    assert parse_size(format_size(size_bytes)) == size_bytes


# --- environment --------------------------------------------------------------------------------------------------


def test_lists_in_the_environment_are_separated_by_commas_or_json() -> None:
    values = environment_layer({"CRONOS_EXCLUDE": "*.iso, build/,", "CRONOS_INCLUDE": '["a,b"]'}).values
    assert values == {"exclude": ["*.iso", "build/"], "include": ["a,b"]}


def test_an_empty_list_in_the_environment_replaces_a_configured_one() -> None:
    assert resolve_settings([layer(exclude=["a"]), environment_layer({"CRONOS_EXCLUDE": ""})]).settings.exclude == ()


def test_modules_in_the_environment_are_json() -> None:
    assert environment_layer({"CRONOS_MODULES": '{"a": "x"}'}).values == {"modules": {"a": "x"}}
    with pytest.raises(ConfigError, match="CRONOS_MODULES"):
        environment_layer({"CRONOS_MODULES": "a=x"})


def test_every_key_can_be_set_by_the_environment() -> None:
    examples = {"directory": "/b", "modules": "{}", "flag": "yes", "size": "2 MiB", "git_dirs": "skip", "duration": "1d"}
    examples |= {"hook_failure": "fail_open", "ethik": "topic", "log_level": "debug", "policy": "[]"}
    examples |= {"bus": "nats://h:4222", "cron": "30 3 * * *"}
    variables = {f"CRONOS_{key.name.upper()}": examples.get(key.kind, "3") for key in KEYS.values()}
    resolved = resolve_settings([environment_layer(variables)])
    assert set(resolved.sources.values()) == {"environment"}


# --- files of the predecessors ------------------------------------------------------------------------------------


def test_egos_configuration_is_translated_and_the_rest_reported() -> None:
    content = {
        "backup": {
            "directory": "/srv/b",
            "retention_days": 12,
            "max_backups": 3,
            "compression_level": 9,
            "exclude_patterns": ["logs/"],
        },
        "restore": {"default_strategy": "merge"},
        "mycelium": {"topics": {"alert": "cronos.alert"}},
    }
    values, ignored = translate_egos(content, "/p/cronos_config.json")
    assert values == {"backup_dir": "/srv/b", "retention_days": 12, "max_backups": 3, "exclude": ["logs/"]}
    assert {item.key for item in ignored} == {"backup.compression_level", "restore.default_strategy", "mycelium.topics.alert"}
    assert {item.origin for item in ignored} == {"/p/cronos_config.json"}


@pytest.mark.parametrize(
    ("directory", "used"), [("./backups", False), ("backups", False), ("../b", True), ("~/b", True), ("/b", True)]
)
def test_an_egos_backup_directory_inside_the_project_is_passed_over(directory: str, used: bool) -> None:
    values, ignored = translate_egos({"backup": {"directory": directory}}, "x")
    assert ("backup_dir" in values, [item.key for item in ignored]) == (used, [] if used else ["backup.directory"])


def test_ignored_values_reach_the_outcome() -> None:
    _, ignored = translate_egos({"logging": {"level": "INFO"}}, "/p/c.json")
    resolved = resolve_settings([Layer(name="project", origin="/p/c.json", values={}, ignored=ignored)])
    assert [(item.key, item.origin) for item in resolved.ignored] == [("logging.level", "/p/c.json")]


def test_rules_of_a_policy_are_never_passed_over() -> None:
    with pytest.raises(ConfigError, match="in the form of EGOS"):
        translate_egos({"policy": [{"name": "a", "forbid": True, "on": "delete"}]}, "x")


def test_yaml_keys_may_be_written_as_environment_variables() -> None:
    content = {"CRONOS_BACKUP_DIR": "/b", "CRONOS_RETENTION_DAYS": 30, "max_backups": 100}
    assert lower_keys(content, "x") == {"backup_dir": "/b", "retention_days": 30, "max_backups": 100}


def test_a_yaml_key_in_both_spellings_is_refused() -> None:
    with pytest.raises(ConfigError, match="twice"):
        lower_keys({"CRONOS_MAX_BACKUPS": 1, "max_backups": 2}, "x")


# --- in writing ---------------------------------------------------------------------------------------------------


def test_the_reference_page_is_up_to_date() -> None:
    assert PAGE.read_text() == configuration_reference(), "write config_page.configuration_reference() to that page"


def test_the_sample_with_every_key_taken_in_gives_the_defaults() -> None:
    values = _taken_in(sample_toml(project=False))
    assert set(values) == set(KEYS)
    assert resolve_settings([layer(**values)]).settings == Settings()


def test_the_sample_for_a_project_holds_what_may_stand_there() -> None:
    values = _taken_in(sample_toml(project=True))
    assert set(values) == {key.name for key in KEYS.values() if key.project}
    resolve_settings([Layer(name="project", origin="/p/cronos.toml", values=values)])


def _taken_in(sample: str) -> dict[str, object]:
    lines = (line.removeprefix("#") for line in sample.splitlines() if not line.startswith(("##", "# ")))
    return tomllib.loads("\n".join(lines))


def test_the_sample_as_it_is_sets_nothing() -> None:
    assert tomllib.loads(sample_toml(project=True)) == tomllib.loads(sample_toml(project=False)) == {}


def test_every_key_is_documented() -> None:
    assert all(key.doc and key.allowed for key in KEYS.values())
