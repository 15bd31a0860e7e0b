from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.frames import Frame, LatestFrame


def make_frame(sequence: int) -> Frame:
    return Frame(np.zeros((2, 3, 3), np.uint8), sequence, sequence * 10)


def test_a_frame_knows_its_size() -> None:
    frame = make_frame(7)
    assert (frame.width_px, frame.height_px, frame.sequence, frame.captured_ns) == (3, 2, 7, 70)


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((2, 3), np.uint8),
        np.zeros((2, 3, 4), np.uint8),
        np.zeros((2, 3, 1), np.uint8),
        np.zeros((2, 3, 3), np.float32),
        np.zeros((1, 2, 3, 3), np.uint8),
    ],
)
def test_anything_but_an_rgb_image_is_refused(picture: np.ndarray) -> None:
    with pytest.raises(ValueError, match="rgb must be"):
        Frame(picture, 0, 0)


def test_a_frame_is_handed_out_once() -> None:
    box, frame = LatestFrame(), make_frame(0)
    box.put(frame)
    assert box.take(0) is frame
    assert box.take(0) is None and box.replaced == 0


@given(st.lists(st.booleans(), max_size=40))
def test_the_newest_frame_wins_and_every_other_is_counted(puts: list[bool]) -> None:
    box, taken, newest = LatestFrame(), [], None
    for sequence, put in enumerate(puts):
        if put:
            newest = sequence
            box.put(make_frame(sequence))
        elif (frame := box.take(0)) is not None:
            assert frame.sequence == newest
            taken.append(frame.sequence)
    waiting = box.take(0) is not None
    assert taken == sorted(set(taken))
    assert sum(puts) == len(taken) + box.replaced + waiting


def test_nothing_comes_before_the_time_is_up() -> None:
    started_s = time.monotonic()
    assert LatestFrame().take(0.05) is None
    assert time.monotonic() - started_s >= 0.045


def test_closing_drops_the_frame_and_refuses_more() -> None:
    box = LatestFrame()
    box.put(make_frame(0))
    box.close()
    box.close()
    box.put(make_frame(1))
    assert box.take() is None and box.replaced == 0


def test_closing_wakes_all_who_wait() -> None:
    box, taken = LatestFrame(), []
    waiting = [threading.Thread(target=lambda: taken.append(box.take(10))) for _ in range(3)]
    for thread in waiting:
        thread.start()
    box.close()
    for thread in waiting:
        thread.join(5)
    assert taken == [None] * 3


def test_a_waiting_reader_gets_the_frame_that_is_put() -> None:
    box, taken = LatestFrame(), []
    reader = threading.Thread(target=lambda: taken.append(box.take(10)))
    reader.start()
    box.put(make_frame(5))
    reader.join(5)
    assert [frame.sequence for frame in taken if frame] == [5]


def test_between_threads_no_frame_is_doubled_turned_round_or_lost_uncounted() -> None:
    box, count, taken = LatestFrame(), 2000, list[int]()

    def write() -> None:
        for sequence in range(count):
            box.put(make_frame(sequence))

    writer = threading.Thread(target=write)
    writer.start()
    while (not taken or taken[-1] != count - 1) and (frame := box.take(5)) is not None:
        taken.append(frame.sequence)
    writer.join(5)
    assert taken == sorted(set(taken)) and taken[-1] == count - 1
    assert len(taken) + box.replaced == count
