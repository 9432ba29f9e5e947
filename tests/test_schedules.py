import copy
import math
import pickle

import numpy as np
import pytest
import torch

from dalib import linear_ramp, sigmoid_ramp
from dalib.schedules import Scheduled


@pytest.mark.parametrize("step", [0, 1, 250, 1000])
def test_sigmoid_ramp_is_the_formula_of_the_paper(step):
    expected = 0.5 * (2 / (1 + math.exp(-10 * step / 1000)) - 1)
    assert sigmoid_ramp(1000, high=0.5)(step) == pytest.approx(expected, abs=1e-12)


def test_ramps_end_level():
    assert sigmoid_ramp(10, alpha=1.0)(10) == sigmoid_ramp(10, alpha=1.0)(99) == pytest.approx(0.4621, abs=1e-4)
    assert linear_ramp(10, low=1.0, high=3.0)(5) == 2.0
    assert linear_ramp(10, low=1.0, high=3.0)(99) == 3.0


def test_a_number_stays_a_number():
    scheduled = Scheduled(0.3)
    scheduled.advance()
    assert scheduled() == 0.3
    assert isinstance(scheduled(), float)


@pytest.mark.parametrize("number", [np.float32(0.5), np.float64(0.5), np.int64(2)])
def test_numbers_of_numpy_are_numbers(number):
    assert Scheduled(number)() == number
    assert isinstance(Scheduled(number)(), float)


def test_state_resumes_the_schedule_to_the_bit():
    scheduled = Scheduled(sigmoid_ramp(7))
    for _ in range(3):
        scheduled.advance()
    twin = Scheduled(sigmoid_ramp(7))
    twin.load_state_dict(scheduled.state_dict())
    for _ in range(5):
        assert torch.equal(twin(), scheduled())
        twin.advance()
        scheduled.advance()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_go_on_independently(copied):
    scheduled = Scheduled(linear_ramp(4))
    scheduled.advance()
    twin = copied(scheduled)
    twin.advance()
    assert (scheduled().item(), twin().item()) == (0.25, 0.5)


def test_casting_the_module_keeps_the_step():
    scheduled = Scheduled(linear_ramp(4)).double()
    scheduled.advance()
    assert scheduled().item() == 0.25
    assert scheduled.step.dtype == torch.int64


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: sigmoid_ramp(0), ValueError, "steps must be at least 1, got 0"),
        (lambda: sigmoid_ramp(1.5), TypeError, "steps must be an integer, got float"),
        (lambda: sigmoid_ramp(5, alpha=-1), ValueError, "alpha must be positive"),
        (lambda: linear_ramp(-2), ValueError, "steps must be at least 1"),
        (lambda: Scheduled("high"), TypeError, "value must be a number or a schedule"),
        (lambda: Scheduled(math.inf, name="weight"), ValueError, "weight must be finite, got inf"),
        (lambda: Scheduled(lambda step: math.nan), ValueError, "from its schedule at step 0"),
        (lambda: Scheduled(lambda step: None), TypeError, "value must be a number, got NoneType from its schedule"),
        (lambda: Scheduled(lambda step: "1"), TypeError, "value must be a number, got str from its schedule at step 0"),
    ],
)
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_schedule_that_breaks_later_says_at_which_step():
    scheduled = Scheduled(lambda step: 1 / (1 - step) if step != 1 else math.nan, name="strength")
    with pytest.raises(ValueError, match="strength must be finite, got nan from its schedule at step 1"):
        scheduled.advance()
