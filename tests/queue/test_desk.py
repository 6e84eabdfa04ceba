"""Who is served next: lines get their shares, whatever comes and goes, and few large pictures are begun at once."""

from hypothesis import given
from hypothesis import strategies as st

from app.queue.desk import LEAD_SECONDS, Desk, FairShares
from app.queue.work import Item, Line, Priority, Work, line_of
from tests.queue.instrumented import work

STEPS = st.lists(st.floats(0.001, 0.5), min_size=2, max_size=300)


class Begun:
    """What the desk sees of a run."""

    def __init__(self, line: Line) -> None:
        self.line = line


def interactive(megapixels: float) -> Line:
    return line_of(Priority.INTERACTIVE, megapixels * 2**20)


@given(steps=STEPS, sides=st.integers(2, 5))
def test_who_wants_time_all_along_gets_as_much_as_the_others(steps: list[float], sides: int) -> None:
    shares, had = FairShares[int](), dict.fromkeys(range(sides), 0.0)
    for seconds in steps:
        chosen = shares.choose(range(sides))
        shares.charge(chosen, seconds)
        had[chosen] += seconds
        assert max(had.values()) - min(had.values()) <= LEAD_SECONDS + max(steps) + 1e-9


@given(steps=STEPS)
def test_weights_share_time_in_proportion(steps: list[float]) -> None:
    shares, had = FairShares({"much": 0.75, "little": 0.25}), {"much": 0.0, "little": 0.0}
    for seconds in steps:
        chosen = shares.choose(["much", "little"])
        shares.charge(chosen, seconds)
        had[chosen] += seconds
        assert abs(had["much"] / 0.75 - had["little"] / 0.25) <= LEAD_SECONDS + max(steps) / 0.25 + 1e-9


@given(before=STEPS, step=st.floats(0.001, 0.5))
def test_who_comes_is_served_at_once_but_has_no_claim_to_the_time_he_was_away(before: list[float], step: float) -> None:
    shares = FairShares[str]()
    for seconds in before:
        shares.charge(shares.choose(["large"]), seconds)
    assert shares.choose(["small", "large"]) == "small"
    in_a_row = 0
    while shares.choose(["small", "large"]) == "small":
        shares.charge("small", step)
        in_a_row += 1
    # The large one is charged for its last step before anybody looks at who is due.
    assert (in_a_row - 1) * step <= LEAD_SECONDS + max(before) + 1e-9


def test_lines_hold_a_class_and_sizes_within_a_factor_of_four() -> None:
    assert interactive(1) == interactive(3.9) != interactive(4)
    assert interactive(1) != line_of(Priority.BACKGROUND, 2**20)
    item = Item(work(), Priority.BACKGROUND, lambda item: None)
    assert item.line.least_pixels <= item.pixels < 4 * item.line.least_pixels


def test_the_smallest_goes_first_and_interactive_before_background() -> None:
    desk = Desk()
    frame = line_of(Priority.BACKGROUND, 5000)
    assert desk.choose([interactive(16), frame, interactive(1)]) == interactive(1)
    assert desk.choose([interactive(16), frame]) == interactive(16)
    assert desk.choose([frame]) == frame
    assert desk.choose([]) is None


def test_what_is_begun_is_among_the_choices() -> None:
    desk = Desk()
    run = Begun(interactive(0.1))
    desk.add(run)  # type: ignore[arg-type]
    assert desk.choose([interactive(16)]) == run.line
    assert desk.run_of(run.line) is run
    desk.remove(run)  # type: ignore[arg-type]
    desk.remove(run)  # type: ignore[arg-type]
    assert desk.choose([]) is None


def test_few_large_pictures_are_begun_at_once_and_small_ones_always_may() -> None:
    desk = Desk()
    for megapixels in (16, 4):
        desk.add(Begun(interactive(megapixels)))  # type: ignore[arg-type]
    seen = set()
    for _ in range(20):
        line = desk.choose([interactive(64), interactive(1), interactive(0.25), line_of(Priority.BACKGROUND, 1e8)])
        assert line
        desk.charge(line, 1.0)
        seen.add(line)
    assert seen == {interactive(16), interactive(4), interactive(0.25), line_of(Priority.BACKGROUND, 1e8)}


def test_a_style_still_to_be_encoded_counts_as_work() -> None:
    known = Item(work(), Priority.INTERACTIVE, lambda item: None)
    assert isinstance(known.work, Work)
    assert known.pixels == known.work.pixels
