import time

import pytest
import torch

from lab.speed.measure import Contestant, ContestantError, measure

MIB = 1 << 20


def draw():
    return torch.empty(1, 2, 4, 8), torch.zeros(1, 4, 8, dtype=torch.int64)


def test_median_time_of_every_step():
    """Sleeps are what they are; the machine only adds to them."""
    calls = []

    def sleep(seconds):
        def step(logits, label):
            calls.append(seconds)
            time.sleep(seconds)

        return step

    steps = [Contestant('long', sleep(0.03)), Contestant('short', sleep(0.001))]
    long, short = measure(steps, *draw(), repeats=3)
    assert (long.name, short.name) == ('long', 'short')
    assert long.seconds >= 0.03 and short.seconds >= 0.001
    # three warming up, one of them watched, then the rounds, each in an order of its own
    assert calls[:6] == [0.03] * 3 + [0.001] * 3
    rounds = [tuple(calls[i : i + 2]) for i in range(6, len(calls), 2)]
    assert len(rounds) == 3 and all(sorted(r) == [0.001, 0.03] for r in rounds)


def test_a_round_is_the_same_for_all_and_another_for_the_next():
    seen = []

    def look(logits, label):
        assert logits.requires_grad and logits.grad is None
        seen.append(logits.detach().clone())
        (logits.sum() * 2).backward()

    logits, label = draw()
    measure([Contestant('a', look), Contestant('b', look)], logits, label, repeats=2)
    (a, b), (c, d) = seen[-4:-2], seen[-2:]
    assert torch.equal(a, b) and torch.equal(c, d) and not torch.equal(a, c)
    assert logits.grad is None


def test_peak_memory_is_what_is_held_at_once():
    kept = []

    def step(logits, label):
        first = torch.empty(3 * MIB, dtype=torch.uint8)
        second = torch.empty(2 * MIB, dtype=torch.uint8)
        del first, second
        kept[:] = [torch.empty(MIB, dtype=torch.uint8)]

    (measured,) = measure([Contestant('', step)], *draw(), repeats=1)
    assert measured.peak_bytes == 5 * MIB


def test_rounds_are_counted_out():
    shown = []

    def progress(rounds):
        for number in rounds:
            shown.append(number)
            yield number

    measure([Contestant('', lambda *_: None)], *draw(), repeats=4, progress=progress)
    assert shown == [0, 1, 2, 3]


def test_a_step_that_fails_is_named():
    def fail(logits, label):
        raise NotImplementedError('"sort" not implemented for Half')

    with pytest.raises(ContestantError, match='^Lovász cannot be measured: "sort" not impl'):
        measure([Contestant('Lovász', fail)], *draw())
