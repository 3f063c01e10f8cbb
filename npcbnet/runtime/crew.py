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
        """Call mine() here and each of theirs() on a thread; returns mine()'s result when all are done."""
        if os.getpid() != self._process:  # a forked child has its parent's memory, but none of its threads
            self._stand_up()
        posts = self._posts[:len(theirs)]
        for post, work in zip(posts, theirs):
            post.work = work
            post.start.release()
        try:
            return mine()
        finally:
            for post in posts:
                post.done.acquire()


class _Post:
    """Where one thread stands: what to do, a lock that opens when it is there, one that opens when it is done."""

    def __init__(self):
        self.work, self.start, self.done = None, threading.Lock(), threading.Lock()
        self.start.acquire()
        self.done.acquire()


def _stand_by(post):
    while True:
        post.start.acquire()
        if post.work is None:
            return
        try:
            post.work()
        finally:
            post.work = None
            post.done.release()


def _dismiss(posts):
    for post in posts:
        post.work = None
        post.start.release()
