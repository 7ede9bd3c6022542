from __future__ import annotations

import pytest

from weir_host.child.log_lines import OutputLog
from weir_host.child.output import Lines
from weir_sdk.testing import RecordingLogger


class Ticks:
    """Seconds that a test turns."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def lines_of(*pieces: bytes) -> list[str]:
    lines: list[str] = []
    reader = Lines(lines.append)
    for piece in pieces:
        reader.feed(piece)
    reader.end()
    return lines


class TestLines:
    def test_pieces_are_cut_anywhere(self) -> None:
        assert lines_of(b"a\nb", b"c\r", b"\n\nd") == ["a", "bc", "", "d"]

    def test_a_line_without_an_end_is_one_all_the_same(self) -> None:
        assert lines_of(b"panic: no") == ["panic: no"]
        assert lines_of(b"a\n") == ["a"]

    def test_what_is_not_utf_8_is_shown_as_far_as_it_is(self) -> None:
        assert lines_of(b"a\xff\n") == ["a\ufffd"]

    def test_a_line_of_any_length_takes_bounded_memory(self) -> None:
        lines: list[str] = []
        reader = Lines(lines.append)
        for _ in range(1000):
            reader.feed(b"x" * 10_000)
        assert len(reader._begun) < 70_000
        reader.feed(b"\nnext\n")
        assert lines == ["x" * 65536 + " ... (cut)", "next"]

    def test_a_line_that_just_fits_is_whole(self) -> None:
        assert lines_of(b"x" * 65536 + b"\n") == ["x" * 65536]


class TestLevels:
    @pytest.mark.parametrize(
        ("text", "level", "message", "values"),
        [
            ("plain", "info", "plain", {}),
            ("2026/11/22 14:02:19 text", "info", "2026/11/22 14:02:19 text", {}),
            ("[TRACE] a", "debug", "a", {}),
            ("[DEBUG] a", "debug", "a", {}),
            ("[INFO]  a", "info", "a", {}),
            ("[WARN] a", "warning", "a", {}),
            ("[ERROR] a", "error", "a", {}),
            ("2026-11-22T14:02:19.688Z [WARN]  name: msg: k=v", "warning", "name: msg: k=v", {}),
            ('{"@level":"warn","@message":"m","@timestamp":"t","k":1}', "warning", "m", {"k": 1}),
            ('{"level":"error","time":"t","message":"m","k":[1]}', "error", "m", {"k": [1]}),
            ('{"level":"fatal","message":"m"}', "error", "m", {}),
            ('{"time":"t","level":"WARN","msg":"m"}', "warning", "m", {}),
            ('{"message":"without a level"}', "info", "without a level", {}),
            ('{"some":"thing else"}', "info", '{"some":"thing else"}', {}),
            ('{"level":5,"message":"m"}', "info", '{"level":5,"message":"m"}', {}),
            ("{broken", "info", "{broken", {}),
        ],
    )
    def test_a_line_has_the_level_that_it_says_it_has(
        self, text: str, level: str, message: str, values: dict[str, object]
    ) -> None:
        logger = RecordingLogger()
        OutputLog(logger, Ticks()).line(text)
        (line,) = logger.lines
        assert (line.level, line.message, line.values) == (level, message, values)

    def test_all_after_a_panic_is_an_error(self) -> None:
        logger = RecordingLogger()
        log = OutputLog(logger, Ticks())
        for text in ("before", "panic: nil", "goroutine 1:", "main.go:5"):
            log.line(text)
        assert [line.level for line in logger.lines] == ["info", "error", "error", "error"]

    def test_a_traceback_is_an_error_to_its_last_line(self) -> None:
        logger = RecordingLogger()
        log = OutputLog(logger, Ticks())
        for text in ("Traceback (most recent call last):", '  File "x"', "ValueError: no", "after"):
            log.line(text)
        assert [line.level for line in logger.lines] == ["error", "error", "error", "info"]

    def test_the_last_line_is_remembered(self) -> None:
        log = OutputLog(RecordingLogger(), Ticks())
        for text in ("first", "last", "  "):
            log.line(text)
        assert log.last_line == "last"


def test_a_flood_is_counted_instead_of_logged() -> None:
    logger, ticks = RecordingLogger(), Ticks()
    log = OutputLog(logger, ticks)
    for _ in range(5000):
        log.line("x")
    assert len(logger.lines) == 2000
    ticks.now = 1.0
    log.line("after")
    assert [(line.message, line.values) for line in logger.lines[2000:]] == [
        ("a plugin printed too much; lines were dropped", {"lines": 3000}),
        ("after", {}),
    ]
