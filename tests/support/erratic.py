"""A proxy with moods."""

import random
import time

from support.proxy import Misbehaved, Proxy


class Erratic(Proxy):
    """Answers at once, soon, or goes away instead."""

    def hesitate(self):
        time.sleep(random.choice([0, 0, 0.001, 0.005, 0.03]))
        if random.random() < 0.03:
            raise Misbehaved

    def record(self, request):
        """An hour of requests is not kept."""
        return request
