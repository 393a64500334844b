"""kubectl's flag syntax: every spelling people use, and pflag's words for what does not parse."""

from __future__ import annotations

import pytest

from kogia.cli.flags import FlagError, Flags, HelpAsked, duration, integer


def flags(*, dashed: bool = False) -> Flags:
    made = Flags("kogia test", "For tests")
    made.keeps_dashed = dashed
    made.add("-o", "--output", help="format")
    made.add("-L", "--label-columns", append=True, default=[])
    made.add("--tail", convert=integer, default=-1)
    made.add("--dry-run", default="none", bare="client", choices=("none", "client", "server"))
    made.add("--since", convert=duration, default=0.0)
    made.switch("-i", "--stdin")
    made.switch("-t", "--tty")
    made.switch("-w", "--watch")
    return made


@pytest.mark.parametrize("words", [["-owide"], ["-o", "wide"], ["-o=wide"], ["--output", "wide"], ["--output=wide"], ["pods", "-owide"], ["-owide", "pods"]])
def test_a_value_may_be_written_in_every_way(words: list[str]) -> None:
    assert flags().parse(words).output == "wide"


def test_switches_join_take_values_and_default_to_off() -> None:
    options = flags().parse(["-it", "--watch=false"])
    assert (options.stdin, options.tty, options.watch) == (True, True, False)
    assert flags().parse(["-w=true"]).watch is True


def test_a_bare_flag_does_not_take_the_next_word() -> None:
    options = flags().parse(["--dry-run", "server"])
    assert (options.dry_run, options.words) == ("client", ["server"])
    assert flags().parse(["--dry-run=server"]).dry_run == "server"


def test_words_after_two_dashes_are_apart_only_where_asked() -> None:
    assert flags().parse(["a", "--", "-o", "x"]).words == ["a", "-o", "x"]
    options = flags(dashed=True).parse(["a", "-i", "--", "sh", "-c", "x"])
    assert (options.words, options.dashed, options.stdin) == (["a"], ["sh", "-c", "x"], True)
    assert flags(dashed=True).parse(["a"]).dashed is None


def test_repeated_flags_gather_and_do_not_leak_into_the_next_parse() -> None:
    made = flags()
    assert made.parse(["-L", "a", "-Lb", "--label_columns=c"]).label_columns == ["a", "b", "c"]
    assert made.parse([]).label_columns == []


@pytest.mark.parametrize(("words", "message"), [
    (["--bogus"], "unknown flag: --bogus"),
    (["--bogus=1"], "unknown flag: --bogus"),
    (["-z"], "unknown shorthand flag: 'z' in -z"),
    (["-iz"], "unknown shorthand flag: 'z' in -z"),
    (["-o"], "flag needs an argument: 'o' in -o"),
    (["--output"], "flag needs an argument: --output"),
    (["--tail=x"], 'invalid argument "x" for "--tail" flag: strconv.ParseInt: parsing "x": invalid syntax'),
    (["--watch=maybe"], 'invalid argument "maybe" for "-w, --watch" flag: strconv.ParseBool: parsing "maybe": invalid syntax'),
    (["--since=bogus"], 'invalid argument "bogus" for "--since" flag: time: invalid duration "bogus"'),
    (["--since=5"], 'invalid argument "5" for "--since" flag: time: missing unit in duration "5"'),
    (["--dry-run=x"], 'invalid argument "x" for "--dry-run" flag: must be one of "none", "client", "server"'),
])  # fmt: skip
def test_errors_are_pflags(words: list[str], message: str) -> None:
    with pytest.raises(FlagError) as caught:
        flags().parse(words)
    assert str(caught.value) == message


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("1s", 1), ("1m30s", 90), ("500ms", 0.5), ("1.5h", 5400), ("-1s", -1), (".5s", 0.5)])
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


def test_help_names_every_flag() -> None:
    with pytest.raises(HelpAsked):
        flags().parse(["x", "-h"])
    text = flags().help_text()
    assert "-o, --output=''" in text and "--tail=-1" in text and "kogia test" in text
