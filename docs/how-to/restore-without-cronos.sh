#!/bin/sh
# Restores a backup without CRONOS, from a store or from any clone of one:
#
#     sh restore-without-cronos.sh STORE ID DIRECTORY
#
# Needs git, a POSIX shell, awk and GNU coreutils, and setfattr where there are extended attributes. Comes back: contents,
# names, modes, times to the nanosecond, symlinks, hard links, empty directories, FIFOs, extended attributes and ACLs; as root
# also owners. DIRECTORY must be absent or empty; nothing outside of it is written but a few lists in the directory for
# temporary files, which are removed. Exit status: 0 done, 1 failed, 2 usage, 3 done but for what is listed.
# The encoding is described in docs/reference/store-format.md.

# shellcheck disable=SC2317 # the functions at the end are called by the plan

set -eu
export LC_ALL=C GIT_NO_REPLACE_OBJECTS=1
unset CDPATH GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_NAMESPACE
umask 077

fail() { printf 'error: %s\n' "$1" >&2; exit "${2-1}"; }
[ $# -eq 3 ] || fail 'usage: sh restore-without-cronos.sh STORE ID DIRECTORY' 2
store=$(cd -P -- "$1" && pwd -P && echo .) || fail "There is no store $1."
store=${store%??}
store_git() { git -C "$store" -c core.quotePath=true "$@"; }
commit=$(store_git rev-parse --quiet --verify "refs/tags/backup/$2^{commit}") ||
    fail "There is no backup $2 in $1; \`git -C STORE tag --list 'backup/*'\` tells the ids."

mkdir -p -- "$3"
[ -z "$(ls -A -- "$3")" ] || fail "$3 must not exist, or be empty. Nothing was written."
work=$(mktemp -d)
trap 'rm -rf -- "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# --- what there is: both trees in full, then the attributes of every directory ---------------------------------------

store_git ls-tree -r -t "$commit:data" >"$work/data"
store_git ls-tree -r -t "$commit:meta/attributes" >"$work/meta"
awk '$2 == "blob" { print $3 }' "$work/meta" | store_git cat-file --batch >"$work/attributes"

# --- what to do: awk writes calls of the functions below, with every name in single quotes ---------------------------

awk -v self="$(id -u)" '
function stop(why) { print "error: " why > "/dev/stderr"; failed = 1; exit 1 }

# A word that the shell takes as it is, whatever bytes it holds.
function quoted(text,    parts, count, i, out) {
    count = split(text, parts, SQ)
    out = SQ parts[1]
    for (i = 2; i <= count; i++) out = out SQ BS SQ SQ parts[i]
    return out SQ
}
function checked(text, what) {  # everything but names goes into the plan without quotes
    if (text !~ "^[-0-9A-Za-z.+/=:]+$") stop("an attribute record holds " what " " quoted(text))
    return text
}

# "a\303\251\n" as git writes such a path
function unquoted(text,    out, i, c) {
    if (text !~ /^"/) return text
    out = ""
    for (i = 2; i < length(text); i++) {
        c = substr(text, i, 1)
        if (c != BS) { out = out c; continue }
        c = substr(text, ++i, 1)
        if (c ~ /[0-3]/) {
            out = out sprintf("%c", c * 64 + substr(text, i + 1, 1) * 8 + substr(text, i + 2, 1))
            i += 2
        } else if (c in short_escape) out = out short_escape[c]
        else out = out c
    }
    return out
}
function unescaped(text,    out, at) {  # %XX
    out = ""
    while (at = index(text, "%")) {
        out = out substr(text, 1, at - 1) sprintf("%c", hex(substr(text, at + 1, 1)) * 16 + hex(substr(text, at + 2, 1)))
        text = substr(text, at + 3)
    }
    return out text
}
function hex(digit) { return index("0123456789ABCDEF", digit) - 1 }

function real(stored,    name) {  # the name on disk
    name = stored
    if (stored ~ /^\.cronos%[ec]%/) name = unescaped(substr(stored, 11))
    if (name == "" || name == "." || name == ".." || index(name, "/")) stop("a tree holds the name " quoted(stored))
    return name
}
function split_path(path) {  # sets parent (with a slash at the end, or empty) and last
    match(path, "[^/]*$")
    parent = substr(path, 1, RSTART - 1)
    last = substr(path, RSTART)
}

# data/: mode, kind, id, path; a directory before what it holds
FILENAME == ARGV[1] {
    path = unquoted(substr($0, index($0, "\t") + 1))
    split_path(path)
    if (parent in pieces) { pieces[parent] = pieces[parent] " " checked($3, "the id"); next }
    if (!(parent in place)) stop("the directory of " quoted(path) " is missing")
    name = real(last)
    if ((parent, name) in taken) stop("two entries are called " quoted(place[parent] name))
    taken[parent, name] = 1
    if ($1 != "040000") { content[parent, name] = checked($3, "the id"); is_link[parent, name] = $1 == "120000" }
    else if (last ~ /^\.cronos%c%/) { pieces[path "/"] = ""; chunks[parent, name] = path "/" }
    else {
        place[path "/"] = place[parent] name "/"
        directories[++directory_count] = path "/"
        print "directory", quoted("./" place[parent] name)
    }
    next
}

# meta/attributes: which directory each of the following records is about
FILENAME == ARGV[2] {
    path = unquoted(substr($0, index($0, "\t") + 1))
    split_path(path)
    if ($2 == "blob" && last != ".cronos%attributes") stop("there is an unknown record " quoted(path))
    if ($2 == "blob") record_of[++record_count] = parent
    next
}

# the records: a line of `git cat-file --batch`, that many bytes, a line end
left <= 0 {
    if (left < 0) { left = 0; next }
    if ($2 != "blob") stop("an attribute record cannot be read: " $0)
    here = record_of[++record_number]
    if (!(here in place)) stop("there are attributes of a directory that is missing: " quoted(here))
    left = $3
    split("", users); split("", groups)
    is_first = 1
    next
}
{
    left -= length($0) + 1
    if (left == 0) left = -1
    if (is_first && $0 != "cronos-attributes 1") stop("an attribute record is of another format: " $0)
    if (is_first) { is_first = 0; next }
    if (!match($0, /^[ug] [0-9]+ /)) { record(); next }
    if ($1 == "u") users[$2] = unescaped(substr($0, RLENGTH + 1))
    else groups[$2] = unescaped(substr($0, RLENGTH + 1))
}

function record(    kind, name, rest, i, path) {  # kind mode size time uid gid extras name
    rest = $0
    for (i = 1; i <= 7; i++) { field[i] = substr(rest, 1, index(rest, " ") - 1); rest = substr(rest, index(rest, " ") + 1) }
    kind = field[1]
    name = unescaped(rest)
    attributes = attribute_calls(kind)
    if (kind == "directory") { of_directory[here] = attributes; return }
    if (name == "" || name == "." || name == ".." || index(name, "/")) stop("an attribute record names " quoted(name))
    told[here, name] = 1
    path = quoted("./" place[here] name)
    call = creation(kind, name, path)
    if (call == "") print "absent", path, checked(kind, "the kind")
    else if (group != "" && (group, call) in first_name) print "hard_link", first_name[group, call], path
    else {
        print call, path
        print attributes path
        if (group != "") first_name[group, call] = path
    }
}

function creation(kind, name, path) {  # the call that makes it, and its ids; empty when it cannot be made
    if ((here, name) in chunks) return "file" pieces[chunks[here, name]]
    if ((here, name) in content) return (is_link[here, name] ? "symlink " : "file ") content[here, name]
    return kind == "fifo" ? "pipe" : ""
}
function attribute_calls(kind,    calls, parts, count, i, at) {  # sets group; the path is to follow
    group = ""
    calls = "at "
    if (self == 0) calls = calls "owner " owner("passwd", field[5], users) " " owner("group", field[6], groups) " "
    count = field[7] == "-" ? 0 : split(field[7], parts, ";")
    for (i = 1; i <= count; i++) {
        if (parts[i] ~ /^h=/) group = substr(parts[i], 3)
        if (parts[i] !~ /^x:/) continue
        at = index(parts[i], "=")
        calls = calls "extended " quoted(unescaped(substr(parts[i], 3, at - 3)))
        calls = calls " " (length(parts[i]) > at ? "0s" checked(substr(parts[i], at + 1), "the value") : SQ SQ) " "
    }
    if (kind != "symlink") calls = calls "mode " checked(field[2], "the mode") " "
    return calls "time " checked(field[4], "the time") " "
}
function owner(list, id, names,    name) {  # a number, or the variable that holds the number of a name on this machine
    if (!(id in names)) return checked(id, "the owner")
    name = names[id]
    if (!((list, name, id) in variable)) {
        variable[list, name, id] = "owner_" (++variable_count)
        print variable[list, name, id] "=$(number " list, quoted(name), checked(id, "the owner") ")"
    }
    return "$" variable[list, name, id]
}

BEGIN {
    SQ = sprintf("%c", 39); BS = sprintf("%c", 92)
    short_escape["a"] = "\007"; short_escape["b"] = "\010"; short_escape["t"] = "\t"; short_escape["n"] = "\n"
    short_escape["v"] = "\013"; short_escape["f"] = "\014"; short_escape["r"] = "\r"
    place[""] = ""
    directories[0] = ""
}
END {
    if (failed) exit 1
    if (left > 0 || record_number != record_count) stop("the attributes are cut short")
    for (key in taken)
        if (!(key in told) && ((key in content) || (key in chunks))) stop("the attributes of " quoted(key) " are missing")
    for (i = directory_count; i >= 0; i--) {  # children first
        if (!(directories[i] in of_directory)) stop("the attributes of the directory " quoted(directories[i]) " are missing")
        print of_directory[directories[i]] quoted("./" place[directories[i]])
    }
}
' "$work/data" "$work/meta" "$work/attributes" >"$work/plan"

# --- doing it --------------------------------------------------------------------------------------------------------

status=0
problem() { printf 'warning: %s: %s\n' "$1" "$2" >&2; status=3; }
is_free() { if [ -e "$1" ] || [ -L "$1" ]; then fail "$1 is there already: this file system takes two names for one."; fi; }

directory() { mkdir -- "$1"; }
file() {  # ID… PATH
    path='' && eval "path=\${$#}"
    is_free "$path"
    while [ $# -gt 1 ]; do
        store_git cat-file blob "$1"
        shift
    done >"$path"
}
symlink() {  # ID PATH
    is_free "$2"
    link=$(store_git cat-file blob "$1" && echo .)
    ln -s -- "${link%.}" "$2"
}
pipe() { mkfifo -m 600 -- "$1"; }
hard_link() { ln -P -- "$1" "$2"; }
absent() { problem "$1" "not restored: a $2 without content in the backup"; }

# at [owner USER GROUP] [extended NAME VALUE]… [mode MODE] time TIME PATH
at() {
    eval "path=\${$#}"
    while [ $# -gt 1 ]; do
        case $1 in
        owner)
            chown -h "$2:$3" -- "$path" 2>/dev/null || problem "$path" 'owner not applied'
            shift 3
            ;;
        extended)
            setfattr -h -n "$2" -v "$3" -- "$path" 2>/dev/null || problem "$path" "attribute $2 not applied"
            shift 3
            ;;
        mode)
            chmod "00$2" -- "$path"
            shift 2
            ;;
        time)
            touch -h -d "@$2" -- "$path"
            shift 2
            ;;
        esac
    done
}
number() {  # passwd|group NAME NUMBER: the number that the name has on this machine, else the one that was recorded
    found=$(getent "$1" -- "$2" | cut -d : -f 3)
    echo "${found:-$3}"
}

cd -P -- "$3" # a directory called - is written ./-
# shellcheck source=/dev/null
. "$work/plan"
exit "$status"
