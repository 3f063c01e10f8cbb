"""Threads that stand by: a Predictor's helpers for large batches.

Each waits for work on a lock of its own, runs it (native code, which lets go of Python's interpreter lock) and says
that it is done. What there is to do is claimed piece by piece in the native code, so a helper whose core is busy with
somebody else's work delays nobody: the others claim what it does not.
"""
import os
import threading
import weakref


class Crew:
    """`count` standing threads. They end with the Crew, or with the process."""

    def __init__(self, count):
        self._count = count
        self._stand_up()

    def _stand_up(self):
        """Threads for this process."""
        self._process, self._posts = os.getpid(), [_Post() for _ in range(self._count)]
        for post in self._posts:
            threading.Thread(target=_stand_by, args=(post,), daemon=True, name="npcbnet").start()
        weakref.finalize(self, _dismiss, self._posts)

    def run(self, mine, theirs):
        """Call mine() here and each of theirs() on a thread; returns mine()'s result when all are done.

        All are done, too, when KeyboardInterrupt is raised: what they write to is the caller's.
        """
        if os.getpid() != self._process:  # a forked child has its parent's memory, but none of its threads
            self._stand_up()
        posts = self._posts[:len(theirs)]
        try:
            for post, work in zip(posts, theirs):
                post.give(work)
            return mine()
        finally:
            _wait_for(posts)


class _Post:
    """Where one thread stands: what to do, how many times it was given something and has done it, and two locks to
    sleep at. That a lock opens means only: look again."""

    def __init__(self):
        self.work, self.given, self.done = None, 0, 0
        self.start, self.end = threading.Lock(), threading.Lock()
        self.start.acquire()
        self.end.acquire()

    def give(self, work):
        """Let the thread do something."""
        self.work = work
        self.given += 1
        _open(self.start)


def _open(lock):
    """Each lock is opened by one thread alone, so it cannot be opened in between."""
    if lock.locked():
        lock.release()


def _wait_for(posts):
    """Until each has done what it was given. Ctrl-C counts only then."""
    stopped = None
    for post in posts:
        while post.done != post.given:
            try:
                _open(post.start)  # in case the interrupt came before `give` did
                post.end.acquire()
            except KeyboardInterrupt as error:
                stopped = error
    if stopped is not None:
        raise stopped


def _stand_by(post):
    while True:
        post.start.acquire()
        number = post.given
        if number == post.done:
            continue
        if post.work is None:
            return
        try:
            post.work()
        finally:
            post.work = None
            post.done = number
            _open(post.end)


def _dismiss(posts):
    for post in posts:
        post.give(None)
