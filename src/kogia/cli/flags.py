"""Command-line flags by kubectl's rules (pflag's), not argparse's: `-owide`, `-o=wide`, `--watch=false`, a bare `--dry-run`, words after `--` kept apart.

Every command's `add_options` declares on a `Flags`; `main` parses. Light on purpose: argparse alone would cost a tenth of a short command's time.
Source: the documented syntax of github.com/spf13/pflag, whose error texts are kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

#: The parsed flags of one command: one attribute per flag, `words` (positional), `dashed` (what followed `--`, None without one).
Options = SimpleNamespace

_TRUE, _FALSE = ("1", "t", "T", "true", "TRUE", "True"), ("0", "f", "F", "false", "FALSE", "False")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class FlagError(Exception):
    """A command line that does not parse, in pflag's words."""


class HelpAsked(Exception):
    """-h or --help was given."""


def integer(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def boolean(text: str) -> bool:
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f'strconv.ParseBool: parsing "{text}": invalid syntax')


def duration(text: str) -> float:
    """Go's duration (`1s`, `2m30s`, `500ms`, `0`) in seconds. Errors: ValueError in Go's words."""
    sign = -1.0 if text.startswith("-") else 1.0
    bare = text.lstrip("+-")
    if bare == "0":
        return 0.0
    if not re.fullmatch(r"((\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h))+", bare):
        if re.fullmatch(r"\d+\.?\d*", bare):
            raise ValueError(f'time: missing unit in duration "{text}"')
        raise ValueError(f'time: invalid duration "{text}"')
    return sign * sum(float(n) * _UNITS[u] for n, u in re.findall(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)", bare))


class Flag:
    """One declared flag. `bare` is the value a flag without `=value` means (None: it takes the next word)."""

    __slots__ = ("append", "bare", "choices", "convert", "default", "dest", "help", "long", "short")

    def __init__(self, names: Sequence[str], *, dest: str = "", default: Any = "", convert: Callable[[str], Any] = str, bare: str | None = None,
                 append: bool = False, choices: Sequence[str] = (), help: str = "") -> None:  # fmt: skip
        self.long = next(n[2:] for n in names if n.startswith("--"))
        self.short = next((n[1:] for n in names if not n.startswith("--")), "")
        self.dest = dest or self.long.replace("-", "_")
        self.default, self.convert, self.bare, self.append, self.choices, self.help = default, convert, bare, append, tuple(choices), help

    def shown(self) -> str:
        return f"-{self.short}, --{self.long}" if self.short else f"--{self.long}"

    def store(self, options: Options, text: str) -> None:
        try:
            value = self.convert(text)
            if self.choices and value not in self.choices:
                raise ValueError("must be one of " + ", ".join(f'"{c}"' for c in self.choices if c))
        except ValueError as error:
            raise FlagError(f'invalid argument "{text}" for "{self.shown()}" flag: {error}') from None
        if self.append:
            value = [*getattr(options, self.dest), value]
        setattr(options, self.dest, value)


class Flags:
    """The flags of one command."""

    def __init__(self, prog: str, description: str = "") -> None:
        self.prog, self.description, self.usage = prog, description, ""
        self.keeps_dashed = False  #: whether words after `--` are apart from the others (exec, run)
        self._flags: list[Flag] = []
        self._by_name: dict[str, Flag] = {}

    def add(self, *names: str, **how: Any) -> None:
        """Declare a flag: names, then `Flag`'s keywords."""
        flag = Flag(names, **how)
        self._flags.append(flag)
        self._by_name["--" + flag.long] = flag
        if flag.short:
            self._by_name["-" + flag.short] = flag

    def switch(self, *names: str, default: bool = False, help: str = "", dest: str = "") -> None:
        """Declare a yes-or-no flag."""
        self.add(*names, default=default, convert=boolean, bare="true", help=help, dest=dest)

    def parse(self, words: Sequence[str]) -> Options:
        """Errors: FlagError, HelpAsked."""
        options = Options(**{f.dest: list(f.default) if f.append else f.default for f in self._flags})
        rest, plain, dashed = list(words), [], None
        while rest:
            word = rest.pop(0)
            if word == "--":
                dashed, rest = rest, []
            elif word.startswith("--"):
                self._long(options, word, rest)
            elif word.startswith("-") and word != "-":
                self._short(options, word, rest)
            else:
                plain.append(word)
        options.words, options.dashed = (plain, dashed) if self.keeps_dashed else (plain + (dashed or []), dashed)
        return options

    def _long(self, options: Options, word: str, rest: list[str]) -> None:
        name, found, value = word.partition("=")
        name = name.replace("_", "-")
        flag = self._by_name.get(name)
        if flag is None:
            if name == "--help":
                raise HelpAsked
            raise FlagError(f"unknown flag: {name}")
        if not found:
            if flag.bare is not None:
                value = flag.bare
            elif rest:
                value = rest.pop(0)
            else:
                raise FlagError(f"flag needs an argument: {name}")
        flag.store(options, value)

    def _short(self, options: Options, word: str, rest: list[str]) -> None:
        letters = word[1:]
        while letters:
            flag, after = self._by_name.get("-" + letters[0]), letters[1:]
            if flag is None:
                if letters[0] == "h":
                    raise HelpAsked
                raise FlagError(f"unknown shorthand flag: '{letters[0]}' in -{letters}")
            if after.startswith("="):
                return flag.store(options, after[1:])
            if flag.bare is not None:
                flag.store(options, flag.bare)
                letters = after
                continue
            if not after and not rest:
                raise FlagError(f"flag needs an argument: '{letters[0]}' in -{letters}")
            return flag.store(options, after or rest.pop(0))
        return None

    def help_text(self) -> str:
        lines = [self.description + ".", "", "Options:"]
        for flag in sorted(self._flags, key=lambda f: f.long):
            default = str(flag.default).lower() if isinstance(flag.default, bool) else f"'{flag.default}'" if isinstance(flag.default, str) else str(flag.default)
            lines.append(f"    {flag.shown() if flag.short else '    ' + flag.shown()}={default}:")
            lines += [f"\t{flag.help[:1].upper()}{flag.help[1:]}", ""]
        return "\n".join([*lines, "Usage:", f"  {self.prog} {self.usage} [options]".replace("  [options]", " [options]")])
