"""tailscaled's LocalAPI, only its DNS queries, with the answers that a test wants."""

import base64
import json
import time
import urllib.parse
from contextlib import suppress

import dns.message
import dns.rcode
import dns.rrset

from .server import Server

SILENCE = object()


class LocalApi(Server):
    """`zone`: (name, type) -> what is answered: addresses and records (`OWNER TTL CNAME TARGET`), a response code, an
    answer as it is, SILENCE, or an HTTP status. What is not in it does not exist."""

    def __init__(self, path, zone=None, pause=0):
        self.zone = zone or {}
        self.pause = pause
        self.asked = []
        self.clients_that_left = 0
        super().__init__(host=str(path))

    def line(self):
        return f"tailscale_socket {self.host}"

    def handle(self, connection):
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            more = connection.recv(4096)
            if not more:
                return
            request += more
        first, *headers = request.decode().split("\r\n")
        method, target, _ = first.split(" ")
        url = urllib.parse.urlsplit(target)
        query = urllib.parse.parse_qs(url.query)
        assert (method, url.path) == ("GET", "/localapi/v0/dns-query"), first
        # tailscaled rejects others: a web page in a browser must not be able to query it.
        assert "Host: local-tailscaled.sock" in headers
        question = (query["name"][0], query["type"][0])
        with self.lock:
            self.asked.append(question)
        time.sleep(self.pause)
        answer = self.zone.get(question, dns.rcode.NXDOMAIN)
        if answer is SILENCE:
            connection.recv(1)
            with self.lock:
                self.clients_that_left += 1
            return
        with suppress(BrokenPipeError):
            connection.sendall(_response(question, answer))


def _response(question, answer):
    if isinstance(answer, bytes):
        return answer
    if isinstance(answer, str):
        return f"HTTP/1.0 {answer}\r\nContent-Type: text/plain\r\n\r\n{answer}\n".encode()
    name, kind = question
    message = dns.message.make_response(dns.message.make_query(name, kind, id=1))
    if isinstance(answer, dns.rcode.Rcode):
        message.set_rcode(answer)
    else:
        for record in answer:
            owner, ttl, rtype, data = record.split() if " " in record else (f"{name}.", 600, kind, record)
            message.answer.append(dns.rrset.from_text(owner, ttl, "IN", rtype, data))
    body = {"Bytes": base64.b64encode(message.to_wire()).decode(), "Resolvers": [{"Addr": "100.64.0.9"}]}
    head = "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\nTailscale-Cap: 140\r\n\r\n"
    return f"{head}{json.dumps(body)}\n".encode()
