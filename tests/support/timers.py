"""Stand-ins for `crontab`, `systemctl` and `launchctl` that keep state as the real ones do, and can be told to fail."""

from __future__ import annotations

from pathlib import Path

from tests.support.hooks import Desk, write_script

_FAILS = """
fail() {{ echo "told to fail" >&2; exit 1; }}
case " $* " in
*" ${{FAIL:-*}} "*) fail ;;
*" ${{FAIL_ONCE:-*}} "*) mkdir {state}/.failed 2> /dev/null && fail ;;
esac
"""

_CRONTAB = """
file={state}/crontab
case "$1" in
-l) if [ -f "$file" ]; then cat "$file"; else echo "no crontab for me" >&2; exit 1; fi ;;
-) cat > "$file.new"; if [ -n "$MANGLE" ]; then printf '#' >> "$file.new"; fi; mv "$file.new" "$file" ;;
*) exit 2 ;;
esac
"""

_SYSTEMCTL = """
[ "$1" = --user ] || exit 2
shift
units="$HOME/.config/systemd/user"; wants="$units/timers.target.wants"
case "$1" in
show-environment) ;;
daemon-reload) rm -f {state}/*.timer; cd "$units" && for unit in *.timer; do [ ! -f "$unit" ] || cp "$unit" {state}/; done ;;
enable) [ -f "{state}/$3" ] || {{ echo "Unit $3 not found." >&2; exit 1; }}
  mkdir -p "$wants"; ln -sf "$units/$3" "$wants/$3"; touch "{state}/$3.active" ;;
disable) rm -f "$wants/$3" "{state}/$3.active" ;;
*) exit 2 ;;
esac
"""

_LAUNCHCTL = """
case "$1" in
bootstrap) loaded="{state}/$(basename "$3" .plist).loaded"; [ ! -f "$loaded" ] || exit 5; cp "$3" "$loaded" ;;
print) [ -f "{state}/${{2##*/}}.loaded" ] ;;
bootout) rm "{state}/${{2##*/}}.loaded" ;;
*) exit 2 ;;
esac
"""


def install_timers(desk: Desk, *kinds: str) -> Path:
    """Put stand-ins first in the desk's PATH; those of other kinds say that nobody is there.

    They fail when the environment's `FAIL` is one of their arguments, or the first time that `FAIL_ONCE` is. `crontab` spoils
    what it is given when `MANGLE` is set.

    Returns:
        The directory of their state: `crontab` holds the crontab, `<unit>.active` and `<label>.loaded` tell what runs.
    """
    state = desk.base / "timers"
    state.mkdir()
    texts = {"crontab": _CRONTAB, "systemctl": _SYSTEMCTL, "launchctl": _LAUNCHCTL}
    for program, text in texts.items():
        is_there = program.removesuffix("ctl") in [kind.removesuffix("d") for kind in kinds]
        body = (_FAILS + text).format(state=state) if is_there else 'echo "cannot connect" >&2; exit 1'
        write_script(desk.bin / program, body)
    return state
