"""``syncws completion SHELL``: what a shell needs to complete the options, made from the parser.

Owns: the three forms. Runs on: the main thread. Must not import: the connection.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from .arguments import COMMANDS, Parser, build_parser
from .flags import FILES, FOLDERS

SHELLS = ("bash", "zsh", "fish")


def completion_parser(prog: str = "syncws") -> Parser:
    parser = Parser(
        prog=f"{prog} completion",
        usage=f"{prog} completion {'|'.join(SHELLS)}",
        description="Print the completion for a shell.",
        epilog='bash: eval "$(syncws completion bash)" in ~/.bashrc\n'
        'zsh:  eval "$(syncws completion zsh)" in ~/.zshrc, after compinit\n'
        "fish: syncws completion fish > ~/.config/fish/completions/syncws.fish",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("shell", choices=SHELLS)
    return parser


def run_completion(given: list[str], prog: str) -> int:
    """Print it; returns the exit status."""
    shell = completion_parser(prog).parse_args(given).shell
    print({"bash": bash, "zsh": zsh, "fish": fish}[shell](build_parser()), end="")
    return 0


def _options(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    return (action for action in parser._actions if action.option_strings)


def _takes_value(action: argparse.Action) -> bool:
    return action.nargs != 0


def _names(parser: argparse.ArgumentParser, metavars: tuple[str, ...]) -> str:
    """The options with such a value, as a pattern of `case`."""
    found = [name for each in _options(parser) if each.metavar in metavars for name in each.option_strings]
    return "|".join(found)


def bash(parser: argparse.ArgumentParser) -> str:
    """A function and its registration."""
    longs = [name for each in _options(parser) for name in each.option_strings if name.startswith("--")]
    plain = "|".join(
        name
        for each in _options(parser)
        if _takes_value(each) and not each.choices and each.metavar not in FILES + FOLDERS
        for name in each.option_strings
    )
    choices = ""
    for each in _options(parser):
        if each.choices:
            words = " ".join(each.choices)
            choices += f"        {'|'.join(each.option_strings)}) {_bash_words(words)}\n"
    return f"""\
_syncws() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}}
    COMPREPLY=()
    case $before in
        {_names(parser, FILES)}) COMPREPLY=($(compgen -f -- "$word")); return ;;
        {_names(parser, FOLDERS)}) COMPREPLY=($(compgen -d -- "$word")); return ;;
{choices}        {plain}) return ;;
        completion) {_bash_words(" ".join(SHELLS))}
    esac
    if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "{" ".join(longs)}" -- "$word"))
    elif ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W "{" ".join(COMMANDS)} ws:// wss://" -- "$word"))
    fi
}}
complete -o filenames -o nospace -F _syncws syncws
"""


def _bash_words(words: str) -> str:
    return f'COMPREPLY=($(compgen -W "{words}" -- "$word")); return ;;'


def zsh(parser: argparse.ArgumentParser) -> str:
    """A function and its registration."""
    specs = []
    for action in _options(parser):
        names = action.option_strings
        text = (
            _plain_help(action)
            .replace("'", "'\\''")
            .replace("[", "\\[")
            .replace("]", "\\]")
            .replace(":", "\\:")
        )
        value = f":{_zsh_value(action)}" if _takes_value(action) else ""
        head = f"'({' '.join(names)})'{{{','.join(names)}}}" if len(names) > 1 else f"'{names[0]}'"
        specs.append(f"        {head}'[{text}]{value}'")
    commands = " ".join(f"'{name}:{text.replace(':', chr(92) + ':')}'" for name, text in COMMANDS.items())
    listed = " \\\n".join(specs)
    return f"""\
#compdef syncws
_syncws_url() {{
    local -a commands=({commands})
    _describe command commands
    compadd -S '' ws:// wss://
}}
_syncws() {{
    if ((CURRENT == 3)) && [[ $words[2] == completion ]]; then
        compadd {" ".join(SHELLS)}
        return
    fi
    _arguments -s \\
{listed} \\
        '1:URL or command:_syncws_url'
}}
compdef _syncws syncws
"""


def _zsh_value(action: argparse.Action) -> str:
    name = (action.metavar or action.dest).__str__().replace("'", "").replace(":", "\\:")
    if action.choices:
        return f"{name}:({' '.join(action.choices)})"
    if action.metavar in FILES:
        return f"{name}:_files"
    return f"{name}:_files -/" if action.metavar in FOLDERS else f"{name}: "


def fish(parser: argparse.ArgumentParser) -> str:
    """One line for each option."""
    lines = ["complete -c syncws -f"]
    for name, text in COMMANDS.items():
        lines.append(f"complete -c syncws -n __fish_use_subcommand -a {name} -d {_fish_quoted(text)}")
    lines.append(f"complete -c syncws -n '__fish_seen_subcommand_from completion' -a '{' '.join(SHELLS)}'")
    for action in _options(parser):
        parts = ["complete -c syncws"]
        parts += [
            f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in action.option_strings
        ]
        if action.choices:
            parts.append(f"-x -a '{' '.join(action.choices)}'")
        elif _takes_value(action):
            parts.append("-r -F" if action.metavar in FILES + FOLDERS else "-x")
        parts.append(f"-d {_fish_quoted(_plain_help(action))}")
        lines.append(" ".join(parts))
    return "\n".join(lines) + "\n"


def _plain_help(action: argparse.Action) -> str:
    return (action.help or "").partition(";")[0]


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
