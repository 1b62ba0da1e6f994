"""Configuration: layers of values become one checked `Settings` that knows where each value came from.

A higher layer replaces a key's whole value; lists and tables are not joined. Reading files is `disk/settings_files.py`'s job, the
environment and the order of layers `bootstrap.py`'s; the keys are in `schema.py`, what a value may be in `values.py`. Floor
F4: pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cronos_git.errors import ConfigError
from cronos_git.rules.schema import KEYS, Settings
from cronos_git.rules.values import check_value

__all__ = ["Ignored", "Layer", "LayerName", "Resolved", "Settings", "environment_layer", "resolve_settings"]

LayerName = Literal["default", "system", "user", "file", "project", "environment", "flags"]
"""Whence values come, lowest rank first. `file` is `--config FILE`, which stands in for `user` and `project`."""

ENVIRONMENT_PREFIX = "CRONOS_"
_LISTS = ("patterns", "directories")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ignored:
    """A value that CRONOS passes over, of a file that was written for another program."""

    key: str
    origin: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """Values from one source.

    Attributes:
        origin: The source in words: a path, for most.
        values: Raw values by key.
        ignored: What the source holds besides.
    """

    name: LayerName
    origin: str
    values: Mapping[str, object]
    ignored: tuple[Ignored, ...] = ()

    def origin_of(self, key: str) -> str:
        """Where exactly the value of *key* stands."""
        if self.name == "environment":
            return f"environment variable {ENVIRONMENT_PREFIX}{key.upper()}"
        return f"--{key.replace('_', '-')}" if self.name == "flags" else self.origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The configuration in force.

    Attributes:
        origins: Where each key's value stands, in words.
        sources: Which layer each key's value is from.
        ignored: Values of foreign files that mean nothing here.
    """

    settings: Settings
    origins: Mapping[str, str]
    sources: Mapping[str, LayerName]
    ignored: tuple[Ignored, ...] = ()

    def rows(self) -> list[tuple[str, str, str]]:
        """Key, value as TOML, and origin, for every key."""
        from cronos_git.rules.config_page import format_value

        return [(key, format_value(key, getattr(self.settings, key)), self.origins[key]) for key in KEYS]


def resolve_settings(layers: Sequence[Layer]) -> Resolved:
    """Lay *layers* over each other, lowest rank first; every value is checked, also those that a higher layer replaces.

    Raises:
        ConfigError: A key is unknown, has no meaning where it stands, or has a bad value. The message names key, origin,
            value and what is allowed.
    """
    values: dict[str, Any] = {}
    sources: dict[str, Layer] = {}
    for layer in layers:
        for key, value in layer.values.items():
            _check_key(key, layer)
            values[key], sources[key] = _checked(key, value, layer), layer
    default = Layer(name="default", origin="default", values={})
    chosen = {key: sources.get(key, default) for key in KEYS}
    return Resolved(
        settings=Settings(**values),
        origins={key: layer.origin_of(key) for key, layer in chosen.items()},
        sources={key: layer.name for key, layer in chosen.items()},
        ignored=tuple(ignored for layer in layers for ignored in layer.ignored),
    )


def environment_layer(variables: Mapping[str, str]) -> Layer:
    """The `CRONOS_*` variables as a layer. Lists are separated by commas, or JSON; tables are JSON.

    Raises:
        ConfigError: JSON that cannot be parsed.
    """
    layer = Layer(name="environment", origin="environment", values={})
    values = {
        key: _parse_variable(key, text, layer)
        for name, text in variables.items()
        if name.startswith(ENVIRONMENT_PREFIX)
        for key in [name.removeprefix(ENVIRONMENT_PREFIX).lower()]
    }
    return Layer(name=layer.name, origin=layer.origin, values=values)


def _parse_variable(key: str, text: str, layer: Layer) -> object:
    kind = KEYS[key].kind if key in KEYS else None
    if kind in ("modules", "policy") or (kind in _LISTS and text.lstrip().startswith("[")):
        import json

        try:
            return json.loads(text)
        except ValueError as error:
            raise _bad_value(key, text, layer, f"it is not JSON: {error}") from error
    if kind in _LISTS:
        return [item.strip() for item in text.split(",") if item.strip()]
    return text


def _check_key(key: str, layer: Layer) -> None:
    if key not in KEYS:
        import difflib

        near = difflib.get_close_matches(str(key).lower(), KEYS, n=1)
        raise ConfigError(
            f"Unknown configuration key `{key}` ({layer.origin_of(str(key))}).",
            hint=f"Did you mean `{near[0]}`?" if near else "docs/reference/configuration.md lists all keys.",
            key=str(key),
            origin=layer.origin,
            candidates=near,
        )
    if layer.name == "project" and not KEYS[key].project:
        raise ConfigError(
            f"`{key}` cannot be set by a file inside the project ({layer.origin}).",
            hint="Set it in the user's configuration, in the environment, or on the command line.",
            key=key,
            origin=layer.origin,
        )


def _checked(key: str, value: object, layer: Layer) -> object:
    try:
        return check_value(KEYS[key], value)
    except ValueError as error:
        raise _bad_value(key, value, layer, str(error)) from error


def _bad_value(key: str, value: object, layer: Layer, reason: str) -> ConfigError:
    wrong = "is wrong" if key in KEYS and KEYS[key].kind == "policy" else f"cannot be {value!r}"  # rules are too long to repeat
    return ConfigError(
        f"`{key}` {wrong} ({layer.origin_of(key)}): {reason}.",
        hint=f"Allowed is {KEYS[key].allowed}.",
        key=key,
        origin=layer.origin_of(key),
        value=repr(value),
    )
