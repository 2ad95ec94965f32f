"""A few trials of each kind; ``make fuzz`` runs thousands."""

import contextlib
import os
import re
import time

import pytest

import data_prep.__main__
from socialgraph import cli
from tests.hostile.damage import DAMAGES, damaged
from tests.hostile.faults import COMMANDS, FAULTS
from tests.hostile.kinds import KINDS, Room
from tests.hostile.sources import SOURCES
from tests.hostile.trial import BAD, attempt


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    return Room(tmp_path_factory.mktemp("hostile"))


@pytest.mark.parametrize("kind", ["broken files", "odd files", "broken checkpoints"])
def test_nothing_bad_comes_of_a_few(room, kind):
    outcomes = {seed: KINDS[kind](room, seed) for seed in range(8)}
    assert {seed: found for seed, found in outcomes.items() if found.kind in BAD} == {}
    assert "refused" in {found.kind for found in outcomes.values()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["odd checkpoints", "tables", "feeds", "streams", "options"])
def test_nothing_bad_comes_of_more(room, kind):
    outcomes = {seed: KINDS[kind](room, seed) for seed in range(len(SOURCES))}
    assert {seed: found for seed, found in outcomes.items() if found.kind in BAD} == {}


# A kill and Ctrl-C come by turns: of either, one moment of so many tells little.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "command"),
    [
        (kind, command)
        for place, command in enumerate(COMMANDS)
        for kind in (("kills", "interrupts")[place % 2], "full disks", "locked folders")
    ],
)
def test_a_command_that_is_ended_leaves_nothing_half_done(room, kind, command):
    found = FAULTS[kind](room, list(COMMANDS).index(command))
    assert found.kind not in BAD, found.said


@pytest.mark.parametrize("program", [cli.main, data_prep.__main__.main])
def test_every_command_is_ended_in_the_middle(program, capsys):
    with contextlib.suppress(SystemExit):
        program(["--help"])
    told = set(re.findall(r"^ {2,4}([a-z]+) {2,}\S", capsys.readouterr().out, re.MULTILINE))
    assert len(told) >= 8
    assert told <= {command.words.split()[0] for command in COMMANDS.values()}


@pytest.mark.parametrize("kind", ["broken files", "broken checkpoints"])
def test_what_is_whole_is_right(room, kind, monkeypatch):
    monkeypatch.setattr("tests.hostile.kinds.damaged", lambda data, seed: ("none", data))
    assert KINDS[kind](room, 0).kind == "right"


def test_damage_is_damage_and_comes_from_the_seed():
    data = bytes(range(256)) * 8
    found = {seed: damaged(data, seed) for seed in range(60)}
    for name in DAMAGES:
        own = [bytes_ for kind, bytes_ in found.values() if kind == name]
        assert own
        assert sum(bytes_ != data for bytes_ in own) > len(own) // 2
    assert damaged(data, 3) == damaged(data, 3)


# What the harness would miss must not look like success.
def _loop():
    while True:
        time.sleep(1)


def _print_traceback():
    print("Traceback (most recent call last):")
    return 2, None


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: (0, 1), "right"),
        (lambda: (0, 2), "wrong"),
        (lambda: (2, None), "refused"),
        (lambda: [][1], "traceback"),
        (_print_traceback, "traceback"),
        (lambda: os.abort(), "crash"),
        (lambda: (0, len(bytearray(2**40))), "memory"),
        (_loop, "hang"),
    ],
)
def test_every_end_has_its_name(call, kind):
    assert attempt(call, expected=1, seconds=1.0).kind == kind
