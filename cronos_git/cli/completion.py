"""`completion` prints the script that makes a shell complete `cronos` command lines.

The script asks `cronos` itself, through variables that the parser's library defines. What it offers where a backup is wanted is
told by `candidates`. Floor F11.
"""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from cronos_git.cli.command import command
from cronos_git.cli.session import session_of

# bash parts words at colons, so `latest:manual` comes in three pieces. They are put together, and what stands before the last
# colon is taken off the answers again, as bash puts only the last piece in their place. After a directory comes no space.
_BASH = r"""_cronos_completion() {
    local line=${COMP_LINE:0:COMP_POINT} words=() word i head
    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((i > 1)) && [[ $word == :* || ${words[-1]} == *: ]] && [[ $line == *"${words[-1]}$word"* ]]; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
    done
    local IFS=$'\n'
    mapfile -t COMPREPLY < <(COMP_WORDS="${words[*]}" COMP_CWORD=$((${#words[@]} - 1)) _CRONOS_COMPLETE=complete_bash \
        "$1" 2>/dev/null)
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace 2>/dev/null
    word=${words[-1]}
    if [[ $word == *:* && $COMP_WORDBREAKS == *:* ]]; then
        head=${word%"${word##*:}"}
        COMPREPLY=("${COMPREPLY[@]#"$head"}")
    fi
    return 0
}
complete -o default -F _cronos_completion cronos"""

_ZSH = r"""#compdef cronos
_cronos_completion() {
    local -a found
    if [[ $words[CURRENT] == *:* ]]; then
        found=("${(@f)$(COMP_WORDS="${words[1,CURRENT]}" COMP_CWORD=$((CURRENT - 1)) _CRONOS_COMPLETE=complete_bash cronos \
            2>/dev/null)}")
        compadd -S '' -- ${(M)found:#*/}
        compadd -- ${found:#*/}
        return
    fi
    eval "$(_TYPER_COMPLETE_ARGS="${words[1,CURRENT]}" _CRONOS_COMPLETE=complete_zsh cronos 2>/dev/null)"
}
if [[ $funcstack[1] == _cronos ]]; then
    _cronos_completion "$@"
else
    compdef _cronos_completion cronos
fi"""

_FISH = r"""function __cronos_complete
    set -lx _CRONOS_COMPLETE complete_fish
    set -lx _TYPER_COMPLETE_FISH_ACTION $argv[1]
    set -lx _TYPER_COMPLETE_ARGS (commandline -cp)
    cronos 2>/dev/null
end
complete --command cronos --no-files --arguments '(__cronos_complete get-args)' --condition '__cronos_complete is-args'"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


@command(
    "completion",
    examples=(
        "cronos completion bash > ~/.local/share/bash-completion/completions/cronos",
        "cronos completion zsh > ~/.zfunc/_cronos",
        "cronos completion fish > ~/.config/fish/completions/cronos.fish",
    ),
)
def completion(
    context: typer.Context,
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
) -> int:
    """Print the completion script for a shell.

    It completes commands, options, backups and paths in them. bash needs to be 4.4 or newer.
    """
    session = session_of(context)
    if session.options.json:
        session.output.json({"shell": shell, "script": _SCRIPTS[shell]})
    else:
        session.output.line(_SCRIPTS[shell])
    return 0
