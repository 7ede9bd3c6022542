"""A library that says the same over and over is written now and then, with a count."""

from __future__ import annotations

import logging

from weir_cli.log_repeats import Repeats


class Lines:
    """A handler behind the filter, and the time it goes by."""

    def __init__(self) -> None:
        self.now = 100.0
        self.repeats = Repeats(("kafka_client",), 30.0, lambda: self.now)
        self.written: list[str] = []

    def say(self, name: str, text: str, *arguments: object) -> None:
        record = logging.LogRecord(name, logging.ERROR, __file__, 1, text, arguments, None)
        if self.repeats.filter(record):
            self.written.append(record.getMessage())


def test_a_message_is_written_once_and_later_again_with_how_many_were_left_out() -> None:
    lines = Lines()
    for node in (1, 2, 1):
        lines.say("kafka_client.conn", "node %s is away", node)
    lines.now += 30.0
    lines.say("kafka_client.conn", "node %s is away", 2)
    assert lines.written == ["node 1 is away", "node 2 is away (2 more of this kind in 30 s)"]


def test_other_messages_of_the_library_are_written_at_once() -> None:
    lines = Lines()
    lines.say("kafka_client", "one")
    lines.say("kafka_client", "another")
    lines.say("kafka_client.conn", "one")
    assert lines.written == ["one", "another", "one"]


def test_what_a_library_says_rarely_is_written_as_it_is() -> None:
    lines = Lines()
    for _ in range(2):
        lines.say("kafka_client", "100 % away")
        lines.now += 31.0
    assert lines.written == ["100 % away", "100 % away"]


def test_nobody_else_is_kept_from_saying_the_same_twice() -> None:
    lines = Lines()
    for _ in range(2):
        lines.say("kafka_clients", "away")
    assert lines.written == ["away", "away"]
