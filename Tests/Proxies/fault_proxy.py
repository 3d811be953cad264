"""An HTTP proxy that breaks what it is told to break.

usage: fault_proxy.py HOST PORT RULES LOG

It listens on a free port of the loopback, prints the port, and hands every request on to HOST:PORT. It ends when its standard
input ends.

RULES is a file of JSON, a list of rules, which is read again whenever it changes:

    {"match": "PUT .*partNumber=3&", "skip": 0, "count": 1, "action": "answer", ...}

The pattern is searched for in "METHOD /path?query". The first rule that matches and is not used up is applied: it lets `skip`
requests go by (and looks no further for these), then applies to `count` of them. Actions:

    reset-request       the connection is reset before the request goes anywhere
    reset-body          the connection is reset in the middle of the request's body
    lose-answer         the server has answered, and the client never hears of it
    answer              "status", "code", "headers": the proxy answers itself, the server sees nothing
    cut-answer          the answer ends in the middle of its body, or of its head where it has no body
    stall-body          half of the body goes through, then nothing happens for "seconds"
    stall-answer        the server has answered, and nothing of it is passed on for "seconds"
    stall-half-answer   the same, with half of the answer passed on
    slow-body           the request's body goes through at "rate" bytes a second
    flip-body           one bit of the request's body is another
    flip-answer         one bit of the answer's body is another

LOG gets a line of JSON when a request has arrived ("begin") and one when it is done with ("end"), in the order in which these
things happened: n, method, target, range, run (the connection's number), action, status (the server's, or null),
delivered (whether the client took all of the answer).
"""

import json
import os
import re
import socket
import struct
import sys
import threading
import time

UPSTREAM = (sys.argv[1], int(sys.argv[2]))
LIMIT = 60


class Broken(Exception):
    """The other side is gone, or the proxy wants it to be."""


class Log:
    def __init__(self, path):
        self.file = open(path, "a", buffering=1)
        self.lock = threading.Lock()
        self.number = 0

    def write(self, record):
        with self.lock:
            self.file.write(json.dumps(dict(record, time=time.monotonic())) + "\n")

    def next(self):
        with self.lock:
            self.number += 1
            return self.number


class Rules:
    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        self.version = None
        self.rules = []

    def choose(self, line):
        with self.lock:
            status = os.stat(self.path)
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            if version != self.version:
                with open(self.path) as file:
                    self.rules = [dict(rule, seen=0) for rule in json.load(file)]
                self.version = version
            for rule in self.rules:
                if not re.search(rule["match"], line):
                    continue
                place = rule["seen"] - rule.get("skip", 0)
                if place >= rule.get("count", 1):
                    continue
                rule["seen"] += 1
                return rule if place >= 0 else {}
        return {}


class Side:
    """One end of a connection, read by lines and by counts."""

    def __init__(self, connection):
        self.connection = connection
        self.kept = b""

    def more(self):
        try:
            found = self.connection.recv(1 << 16)
        except OSError as error:
            raise Broken from error
        self.kept += found
        return len(found) > 0

    def head(self):
        """The bytes of a head; nothing where the connection ends before one."""
        while b"\r\n\r\n" not in self.kept:
            if len(self.kept) > 1 << 20 or not self.more():
                return b""
        end = self.kept.index(b"\r\n\r\n") + 4
        head, self.kept = self.kept[:end], self.kept[end:]
        return head

    def pieces(self, length):
        """So many bytes as they come; all to the end where the length is None."""
        while length is None or length > 0:
            if not self.kept and not self.more():
                if length is None:
                    return
                raise Broken
            piece = self.kept if length is None else self.kept[:length]
            self.kept = self.kept[len(piece):]
            if length is not None:
                length -= len(piece)
            yield piece

    def send(self, data):
        try:
            self.connection.sendall(data)
        except OSError as error:
            raise Broken from error

    def reset(self):
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()


def fields(head):
    lines = head.decode("latin-1").split("\r\n")
    pairs = [line.split(":", 1) for line in lines[1:] if ":" in line]
    return lines[0], {name.strip().lower(): value.strip() for name, value in pairs}


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


class Exchange:
    """One request and its answer."""

    def __init__(self, client, head, log, rules, connection):
        self.client, self.log = client, log
        start, self.fields = fields(head)
        self.method, self.target, _ = start.split(" ", 2)
        self.head = head
        self.length = int(self.fields.get("content-length", "0"))
        self.rule = rules.choose(self.method + " " + self.target)
        self.action = self.rule.get("action", "")
        self.record = {
            "n": log.next(), "method": self.method, "target": self.target, "connection": connection,
            "range": self.fields.get("range"), "length": self.length, "action": self.action or None}
        self.status = None
        self.delivered = False

    def run(self):
        """Whether the client's connection can take another request."""
        self.log.write(dict(self.record, event="begin"))
        upstream = None
        try:
            if self.action == "reset-request":
                raise Broken
            if self.action == "answer":
                return self.answer_ourselves()
            upstream = Side(socket.create_connection(UPSTREAM, timeout=LIMIT))
            upstream.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.pass_request(upstream)
            return self.pass_answer(upstream)
        except (Broken, OSError):
            self.client.reset()
            return False
        finally:
            if upstream:
                upstream.connection.close()
            self.log.write(dict(self.record, event="end", status=self.status, delivered=self.delivered))

    def answer_ourselves(self):
        for _ in self.client.pieces(self.length):
            pass
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>%s</Code><Message>The proxy says so.</Message>'
            "<RequestId>000000000000000000000000</RequestId></Error>" % self.rule.get("code", "InternalError")
        ).encode()
        head = "HTTP/1.1 %d Proxy\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n" % (
            self.rule["status"], len(body))
        for name, value in self.rule.get("headers", {}).items():
            head += "%s: %s\r\n" % (name, value)
        self.client.send(head.encode() + b"\r\n" + (b"" if self.method == "HEAD" else body))
        self.delivered = True
        return True

    def pass_request(self, upstream):
        upstream.send(self.head)
        if self.action in ("reset-body", "stall-body"):
            half = self.length // 2
            for piece in self.client.pieces(half):
                upstream.send(piece)
            if self.action == "stall-body":
                time.sleep(self.rule["seconds"])
            raise Broken
        done = 0
        for piece in self.client.pieces(self.length):
            middle = self.length // 2
            if self.action == "flip-body" and done <= middle < done + len(piece):
                piece = flipped(piece, middle - done)
            done += len(piece)
            if self.action == "slow-body":
                time.sleep(len(piece) / self.rule["rate"])
            upstream.send(piece)

    def pass_answer(self, upstream):
        head = upstream.head()
        if not head:
            raise Broken
        start, names = fields(head)
        status = int(start.split(" ")[1])
        has_body = self.method != "HEAD" and status not in (204, 304)
        length = int(names["content-length"]) if "content-length" in names else None
        if not has_body:
            length = 0
        keeps = length is not None
        body = None
        if self.action:
            body = b"".join(upstream.pieces(length))
        self.status = status
        if self.action == "lose-answer":
            raise Broken
        if self.action == "stall-answer":
            time.sleep(self.rule["seconds"])
            raise Broken
        if self.action in ("cut-answer", "stall-half-answer"):
            whole = head + body
            self.client.send(whole[:len(head) + len(body) // 2] if len(body) > 1 else whole[:len(head) // 2])
            if self.action == "stall-half-answer":
                time.sleep(self.rule["seconds"])
            self.client.connection.shutdown(socket.SHUT_RDWR)
            raise Broken
        if self.action == "flip-answer":
            body = flipped(body, len(body) // 2)
        self.client.send(head)
        for piece in [body] if body is not None else upstream.pieces(length):
            self.client.send(piece)
        self.delivered = True
        return keeps and names.get("connection", "").lower() != "close"


def serve(connection, number, log, rules):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(LIMIT)
    client = Side(connection)
    try:
        while True:
            head = client.head()
            if not head or not Exchange(client, head, log, rules, number).run():
                return
    except (Broken, OSError):
        pass
    finally:
        connection.close()


def main():
    log, rules = Log(sys.argv[4]), Rules(sys.argv[3])
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    # What stands between the two in the kernel is little, so that whoever sends feels how slow the other is.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
    print(listener.getsockname()[1], flush=True)

    def end_with_input():
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=end_with_input, daemon=True).start()
    number = 0
    while True:
        connection, _ = listener.accept()
        number += 1
        threading.Thread(target=serve, args=(connection, number, log, rules), daemon=True).start()


main()
