from weir_core.usage import NO_USAGE, Answer, Usage


def test_the_total_is_prompt_plus_response_since_they_include_their_parts() -> None:
    usage = Usage(
        prompt_tokens=10, cache_read_tokens=4, cache_write_tokens=3, response_tokens=5, reasoning_tokens=2
    )

    assert usage.total_tokens == 15


def test_no_usage_says_that_nobody_counted() -> None:
    assert (NO_USAGE.source, NO_USAGE.total_tokens) == ("none", 0)


def test_an_unread_answer_has_no_usage_rather_than_zero() -> None:
    assert Answer().usage is None
