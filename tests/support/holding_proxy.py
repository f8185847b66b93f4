"""A proxy that keeps its clients waiting: "connect does not block" becomes a matter of order, not of time."""

import threading

from .proxy import Misbehaved, Proxy

# Only against hangs.
PATIENCE = 60


class HoldingProxy(Proxy):
    """Answers nobody until `quorum` clients have asked, or until `release()`; only the first `free` need not wait.

    A program whose event loop stands still inside of connect never gets as far as its second connect, and so never
    reaches a quorum of 2.
    """

    def __init__(self, quorum=None, free=0, **options):
        self.quorum = quorum
        self.free = free
        self.open_for_all = threading.Event()
        self.arrivals = threading.Condition()
        self.waiting = 0
        super().__init__(**options)

    def record(self, request):
        request = super().record(request)
        with self.arrivals:
            self.waiting += 1
            free = self.waiting <= self.free
            if self.waiting == self.quorum:
                self.open_for_all.set()
            self.arrivals.notify_all()
        if not free and not self.open_for_all.wait(PATIENCE):
            raise Misbehaved
        return request

    def release(self):
        self.open_for_all.set()

    def wait_for(self, count):
        """Until so many clients have asked; whether they have."""
        with self.arrivals:
            return self.arrivals.wait_for(lambda: self.waiting >= count, PATIENCE)
