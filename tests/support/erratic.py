"""A proxy that misbehaves at random."""

import random
import time

from support.proxy import Misbehaved, Proxy


class Erratic(Proxy):
    """Replies at once, or after a while, or closes instead."""

    def hesitate(self):
        time.sleep(random.choice([0, 0, 0.001, 0.005, 0.03]))
        if random.random() < 0.03:
            raise Misbehaved

    def record(self, request):
        """Keeps no record of an hour of requests."""
        return request
