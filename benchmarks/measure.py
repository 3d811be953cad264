"""Runs one command and measures what it took."""

import os
import signal
import threading
import time
from dataclasses import dataclass


class CommandFailed(Exception):
    """A command that is measured ended with something else than 0."""


@dataclass
class Sample:
    """What one run took. Times in seconds; `anonymous` in bytes, where it was watched."""

    wall: float
    user: float
    system: float
    output_size: int
    output_allocated: int
    anonymous: int | None = None

    @property
    def cpu(self):
        return self.user + self.system


class MemoryWatch(threading.Thread):
    """Reads a process's anonymous memory every few milliseconds and keeps the most that it saw."""

    interval = 0.002

    def __init__(self, process):
        super().__init__(daemon=True)
        self.path = f"/proc/{process}/status"
        self.most = 0
        self.ended = threading.Event()

    def run(self):
        while not self.ended.wait(self.interval):
            try:
                with open(self.path) as status:
                    for line in status:
                        if line.startswith("RssAnon:"):
                            self.most = max(self.most, int(line.split()[1]) * 1024)
            except (OSError, ValueError):
                return


def spawn(command):
    """Starts a command with no input and no output but its errors, which come to ours."""
    null = os.open(os.devnull, os.O_RDWR)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1)]
        return os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
    finally:
        os.close(null)


def run(command, output, watch_memory=False):
    """Runs a command that writes the file `output`. To watch memory costs time: don't, in a run that is timed."""
    began = time.perf_counter()
    process = spawn(command)
    watch = MemoryWatch(process) if watch_memory else None
    if watch:
        watch.start()
    try:
        _, status, usage = os.wait4(process, 0)
    except BaseException:
        # The bench itself is stopped: its child goes with it.
        os.kill(process, signal.SIGTERM)
        os.waitpid(process, 0)
        raise
    wall = time.perf_counter() - began
    if watch:
        watch.ended.set()
        watch.join()
    if status != 0:
        raise CommandFailed(f"{' '.join(command)}: ended with {os.waitstatus_to_exitcode(status)}")
    size, allocated = file_size(output)
    return Sample(wall, usage.ru_utime, usage.ru_stime, size, allocated, watch.most if watch else None)


def file_size(path):
    """The size of a file and the bytes that it takes of the disk; (0, 0) when there is none."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return 0, 0
    return status.st_size, status.st_blocks * 512


def data_ranges(descriptor):
    """The ranges of a file that are not holes, as (offset, length)."""
    end = os.fstat(descriptor).st_size
    offset = 0
    while offset < end:
        try:
            start = os.lseek(descriptor, offset, os.SEEK_DATA)
        except OSError:  # nothing but a hole is left
            return
        offset = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, offset - start


def warm(path):
    """Reads the data of a file, so that it is in the page cache. Holes are left: reading them would fill memory."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        buffer = bytearray(4 << 20)
        for start, length in data_ranges(descriptor):
            offset = start
            while offset < start + length:
                count = os.preadv(descriptor, [buffer], offset)
                if count == 0:
                    break
                offset += count
    finally:
        os.close(descriptor)


def settle(*outputs):
    """Removes outputs and waits for the disk, so that one run does not pay for the one before."""
    for output in outputs:
        try:
            os.unlink(output)
        except FileNotFoundError:
            pass
    os.sync()
