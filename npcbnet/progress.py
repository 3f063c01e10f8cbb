"""How long still? A bar with rate and ETA in a terminal, elsewhere a plain line an epoch. Always on standard error."""
import sys
import time

from tqdm import tqdm


class Progress:
    """Reports the epochs of one stage of training. quiet=True says nothing."""

    def __init__(self, stage, epochs, images, quiet=False):
        self.stage, self.epochs, self.images, self.quiet = stage, epochs, images, quiet
        self.terminal = not quiet and sys.stderr.isatty()
        self.started, self.first, self.bar = time.perf_counter(), None, None

    def begin(self, epoch):
        """Epoch `epoch` (from 0) begins."""
        self.first = epoch if self.first is None else self.first
        self.epoch_started = time.perf_counter()
        if self.terminal:
            self.bar = tqdm(total=self.images, unit="img", leave=False, file=sys.stderr,
                            desc=f"{self.stage} {epoch + 1}/{self.epochs}")

    def advance(self, images):
        """So many images more are done."""
        if self.bar is not None:
            self.bar.update(images)

    def close(self):
        """Take the bar away (also after an error)."""
        if self.bar is not None:
            self.bar.close()
            self.bar = None

    def end(self, epoch, values):
        """Epoch `epoch` ended; values {name: number} are printed with rate and time left."""
        self.close()
        if self.quiet:
            return
        now = time.perf_counter()
        seconds = max(now - self.epoch_started, 1e-9)
        left = (now - self.started) / (epoch + 1 - self.first) * (self.epochs - epoch - 1)
        shown = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        print(f"{self.stage} epoch {epoch + 1}/{self.epochs}  {shown}  {self.images / seconds:,.0f} images/s  "
              f"{clock(left)} left", file=sys.stderr, flush=True)


def say(text, quiet=False):
    """One line on standard error."""
    if not quiet:
        print(text, file=sys.stderr, flush=True)


def clock(seconds):
    """Seconds as m:ss or h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
