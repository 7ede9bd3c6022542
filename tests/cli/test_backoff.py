from weir_cli.backoff import Backoff


def test_the_first_restart_is_quick_and_the_next_ones_wait_twice_as_long_up_to_half_a_minute() -> None:
    backoff = Backoff()
    delays = [backoff.after(0.0) for _ in range(9)]
    assert delays == [0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


def test_a_child_that_lived_for_a_minute_is_restarted_quickly_again() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.after(1.0)
    assert backoff.after(61.0) == 0.1
    assert backoff.after(1.0) == 0.5
