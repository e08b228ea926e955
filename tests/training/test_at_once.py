"""Calls on threads: in order, no more at once than cores, and what happens where one fails."""

import signal
import threading
import time

import jax
import pytest

from jaxvae.training import programs


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(programs, "_cores", lambda: 2)


def test_results_are_in_order_and_two_calls_are_under_way():
    both = threading.Barrier(2, timeout=60)  # one call alone would wait in vain

    def call(a, b):
        both.wait()
        return a - b

    assert programs.at_once(call, [5, 6, 7, 8], [1, 2, 3, 4]) == [4, 4, 4, 4]


@pytest.mark.parametrize("members", [1, 3])
def test_one_core_and_one_call_need_no_thread(monkeypatch, members):
    if members > 1:
        monkeypatch.setattr(programs, "_cores", lambda: 1)
    threads = programs.at_once(lambda _: threading.current_thread(), range(members))
    assert threads == [threading.current_thread()] * members


def test_what_is_not_compiled_is_not_on_a_thread():
    with jax.disable_jit():
        threads = programs.at_once(lambda _: threading.current_thread(), range(3))
    assert threads == [threading.current_thread()] * 3


@pytest.mark.parametrize("stopped_by", [ZeroDivisionError, KeyboardInterrupt])
def test_a_failure_lets_no_other_call_begin(stopped_by):
    """Those under way end before it is raised."""
    begun, ended, both = [], [], threading.Barrier(2, timeout=60)

    def call(number):
        begun.append(number)
        if number < 2:
            both.wait()
        if number == 0:
            if stopped_by is ZeroDivisionError:
                raise stopped_by
            time.sleep(0.5)  # until the main thread has begun all calls, and waits
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(0.5)  # meanwhile the main thread hears of it
        ended.append(number)

    before = threading.active_count()
    with pytest.raises(stopped_by):
        programs.at_once(call, range(50))
    assert threading.active_count() == before
    assert set(begun) - set(ended) <= {0}
    assert len(begun) < 50
