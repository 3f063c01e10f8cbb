"""Threads and the engine: more of them change no bit, each may have a Predictor of its own, nobody holds the GIL."""
import gc
import os
import signal
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest

from npcbnet import runtime
from npcbnet.errors import UsageError
from npcbnet.nets import CBNet, Converter, ConverterConfig, branchynet_lenet, lenet, lightweight
from npcbnet.runtime.crew import Crew
from tests.runtime_models import names, needs_engine, some_images
from tests.test_start import run

SHAPE = (1, 28, 28)
FORM = ConverterConfig((64, 16), ("relu", "linear"), halve_input=True, halve_output=True)


def models():
    """One of each kind; half of the images leave the BranchyNet early."""
    rng = np.random.default_rng(1)
    net = branchynet_lenet(SHAPE, names(10), rng, float("inf"))
    net.threshold = float(np.median(net.explain(some_images(rng, SHAPE, 100)).entropy))
    return [lenet(SHAPE, names(10), rng), net, CBNet(Converter(FORM, SHAPE).initialise(rng), lightweight(net))]


@pytest.fixture(scope="module")
def images():
    return some_images(np.random.default_rng(2), SHAPE, 700)


@pytest.mark.parametrize("moment", ["mine", "waiting"])
def test_ctrl_c_counts_when_the_helpers_are_done(moment):
    crew, done = Crew(2), []

    def theirs(seconds):
        time.sleep(seconds)
        done.append(seconds)

    def mine():
        if moment == "mine":
            raise KeyboardInterrupt
        threading.Timer(0.1, signal.raise_signal, (signal.SIGINT,)).start()

    for turn in range(1, 3):
        with pytest.raises(KeyboardInterrupt):
            crew.run(mine, [partial(theirs, 0.3), partial(theirs, 0.4)])
        assert len(done) == 2 * turn
    assert crew.run(lambda: "mine", [partial(theirs, 0.2)]) == "mine" and done[4:] == [0.2]


@needs_engine
@pytest.mark.parametrize("threads", [1, 2])
def test_a_predictor_that_was_interrupted_is_as_good_as_before(threads, images, monkeypatch):
    for model in models():
        predictor, right = runtime.compile(model, threads=threads), model.predict(images[:20])
        for some in (images[:2], images):
            predictor.predict(some)
            native, calls = predictor._run_native, []

            def interrupted(start):
                calls.append(native(start))
                if threading.current_thread() is threading.main_thread():
                    raise KeyboardInterrupt

            monkeypatch.setattr(predictor, "_run_native", interrupted)
            with pytest.raises(KeyboardInterrupt):
                predictor.predict(some)
            monkeypatch.setattr(predictor, "_run_native", native)
            assert calls and [int(predictor.predict(image)[0]) for image in images[:20]] == list(right)
            np.testing.assert_array_equal(predictor.predict(images[:20]), right)


@needs_engine
@pytest.mark.parametrize("threads", [2, 3, 8])
def test_more_threads_change_no_bit(threads, images):
    for model in models():
        one, more = runtime.compile(model), runtime.compile(model, threads=threads)
        for count in (1, 2, 17, 31, 32, 33, 100, 700):
            right, seen = one.explain(images[:count]), more.explain(images[:count])
            for field in ("label", "confidence", "entropy", "exit", "converted"):
                np.testing.assert_array_equal(getattr(seen, field), getattr(right, field))
            np.testing.assert_array_equal(more.predict_proba(images[:count]), one.predict_proba(images[:count]))


@needs_engine
def test_the_same_call_gives_the_same_bits_however_the_threads_are_scheduled(images):
    predictor = runtime.compile(models()[1], threads=2)
    first = predictor.explain(images)
    for _ in range(20):
        again = predictor.explain(images)
        np.testing.assert_array_equal(again.confidence, first.confidence)
        np.testing.assert_array_equal(again.exit, first.exit)


@needs_engine
def test_threads_with_a_predictor_each_do_not_disturb_one_another(images):
    all_models, wrong = models(), []
    right = [(runtime.compile(model).predict_proba(images[:60]), runtime.compile(model).explain(images[:60]).exit)
             for model in all_models]
    start = threading.Barrier(6)

    def work(number):
        model, (p, exits) = all_models[number % 3], right[number % 3]
        start.wait()
        predictor = runtime.compile(model, threads=1 + number // 3)  # compiled at the same time, too
        for turn in range(15):
            count = (60, 1, 33)[turn % 3]
            some = images[:60] if count > 1 else images[turn:turn + 1]
            here = slice(0, 60) if count > 1 else slice(turn, turn + 1)
            same_exits = np.array_equal(predictor.explain(some).exit, exits[here])
            if not same_exits or not np.allclose(predictor.predict_proba(some), p[here], rtol=0, atol=1e-5):
                wrong.append((number, turn))

    crew = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    assert not wrong


@needs_engine
def test_other_threads_run_during_the_native_call(images, monkeypatch):
    """A ticking thread makes progress while the engine works. The interpreter itself would not switch for a minute."""
    predictor = runtime.compile(models()[0]).warmup()
    ticks, done, seen = [0], threading.Event(), []
    native = predictor._run_native

    def watched(start):
        before = ticks[0]
        native(start)
        seen.append(ticks[0] - before)

    def tick():
        while not done.is_set():
            ticks[0] += 1
            time.sleep(0.0005)

    monkeypatch.setattr(predictor, "_run_native", watched)
    many, interval = np.tile(images, (10, 1, 1, 1)), sys.getswitchinterval()
    ticker = threading.Thread(target=tick)
    sys.setswitchinterval(60)
    ticker.start()
    try:
        for _ in range(20):  # on a busy machine the ticker may not get a processor at once
            predictor.predict(many)
            if sum(seen):
                break
    finally:
        done.set()
        sys.setswitchinterval(interval)
        ticker.join()
    assert sum(seen)


@needs_engine
def test_helpers_end_with_their_predictor(images):
    before = threading.active_count()
    for _ in range(5):
        predictor = runtime.compile(models()[0], threads=3)
        predictor.predict(images)
    assert before < threading.active_count() <= before + 4  # of the last one, and perhaps of the one before
    del predictor
    gc.collect()
    for _ in range(100):
        if threading.active_count() == before:
            break
        time.sleep(0.02)
    assert threading.active_count() == before


FORK = """
import os, signal, warnings, numpy as np
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks beside threads
from npcbnet import runtime
from tests.test_runtime_threads import SHAPE, models
from tests.runtime_models import some_images
images = some_images(np.random.default_rng(2), SHAPE, 100)
predictor = runtime.compile(models()[0], threads=2)
right = predictor.predict(images)
child = os.fork()
if not child:
    signal.alarm(8)
    again = np.array_equal(predictor.predict(images), right)
    new = np.array_equal(runtime.compile(models()[0], threads=2).predict(images), right)
    os._exit(0 if again and new else 3)
print(os.waitpid(child, 0)[1], np.array_equal(predictor.predict(images), right))
"""


@needs_engine
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_predicts_too():
    """What multiprocessing does by default on Linux."""
    assert run(FORK).stdout.split() == ["0", "True"]


@pytest.mark.parametrize("threads", [0, -1, 1.5, "2", None, True])
def test_impossible_numbers_of_threads_are_refused(threads):
    with pytest.raises(UsageError, match="threads"):
        runtime.compile(models()[0], threads=threads)


@needs_engine
def test_numpy_integers_count_as_threads(images):
    assert runtime.compile(models()[0], threads=np.int64(2)).predict(images[:40]).shape == (40,)
