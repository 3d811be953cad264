"""What is measured: the jobs, the commands of both tools for each, and what is to be reached."""

import os
from dataclasses import dataclass

# Lathe's name of a format: qemu-img's.
QEMU_NAMES = {"raw": "raw", "qcow2": "qcow2", "vhd": "vpc", "vdi": "vdi", "vmdk": "vmdk"}

ANONYMOUS_LIMIT = 64 << 20


@dataclass(frozen=True)
class Target:
    """The most that ours may take, as a part of what qemu-img takes; `size` is of the output. None is no limit."""

    wall: float
    cpu: float | None = None
    size: float | None = None


@dataclass(frozen=True)
class Job:
    """One conversion, or one comparison of an image with the raw disk that it was made of.

    A job that reads is done twice: from an image that qemu-img wrote, and from one of ours. `asks` are the options that
    both tools take alike: to write with, or to have what is read written with. `asks_ours` and `asks_peer` go to one of
    them alone.
    """

    name: str
    source_format: str
    format: str
    target: Target | None = None
    asks: tuple[str, ...] = ()
    asks_ours: tuple[str, ...] = ()
    asks_peer: tuple[str, ...] = ()
    slow: bool = False
    compares: bool = False

    @property
    def reads(self):
        return self.source_format != "raw"


WRITE = Target(0.75, 1.0)
READ = Target(0.8, 1.0)
READ_COMPRESSED = Target(0.35)

STREAM = ("-o", "subformat=streamOptimized")
ZSTD = ("-c", "-o", "compression_type=zstd")
LEVEL_6 = ("-o", "compression_level=6")
# Out of order, with as many coroutines as qemu-img takes: the fastest that it can.
UNORDERED = ("-W", "-m", "16")

JOBS = [
    Job("qcow2", "raw", "qcow2", WRITE),
    Job("vhd", "raw", "vhd", WRITE),
    Job("vdi", "raw", "vdi", WRITE),
    Job("vmdk", "raw", "vmdk", Target(0.35, 0.5)),
    Job("from-qcow2", "qcow2", "raw", READ),
    Job("from-vhd", "vhd", "raw", READ),
    Job("from-vdi", "vdi", "raw", READ),
    Job("from-vmdk", "vmdk", "raw", READ),
    Job("raw", "raw", "raw"),
    Job("floor", "raw", "raw"),
    Job("over-floor", "raw", "qcow2", Target(1.15)),
    Job("vmdk-stream", "raw", "vmdk", Target(0.12, 0.3, size=1.0), asks=STREAM, slow=True),
    Job("qcow2-zlib", "raw", "qcow2", Target(0.07, size=1.1), asks=("-c",), slow=True),
    Job("qcow2-zlib-unordered", "raw", "qcow2", Target(0.12, size=1.1), asks=("-c",), asks_peer=UNORDERED, slow=True),
    Job("qcow2-zlib-6", "raw", "qcow2", Target(0.6, size=1.0), asks=("-c",), asks_ours=LEVEL_6, slow=True),
    Job("qcow2-zlib-6-unordered", "raw", "qcow2", Target(1.0, size=1.0), asks=("-c",), asks_ours=LEVEL_6,
        asks_peer=UNORDERED, slow=True),
    Job("qcow2-zstd", "raw", "qcow2", Target(0.35, size=1.0), asks=ZSTD),
    Job("from-qcow2-zlib", "qcow2", "raw", READ_COMPRESSED, asks=("-c",)),
    Job("from-qcow2-zstd", "qcow2", "raw", READ_COMPRESSED, asks=ZSTD),
    Job("from-vmdk-stream", "vmdk", "raw", READ_COMPRESSED, asks=STREAM),
    Job("compare-qcow2-zlib", "qcow2", "raw", Target(0.3), asks=("-c",), compares=True),
]


@dataclass
class Tools:
    """The programs that are run."""

    lathe: str
    qemu: str = "qemu-img"
    floor: str | None = None


def ours(tools, job, image, source, destination):
    """Our command: what is measured. `image` is the raw disk, and `source` what the job reads."""
    if job.name == "floor":
        return [tools.floor, source, destination]
    if job.compares:
        return [tools.lathe, "compare", "-q", "-f", "raw", "-F", job.source_format, image, source]
    options = () if job.reads else job.asks + job.asks_ours
    return lathe_convert(tools, job.source_format, job.format, options, source, destination)


def peer(tools, job, image, source, destination):
    """The command that ours is compared with: qemu-img with its defaults, which keep the output in order."""
    if job.name == "floor":
        return ["cp", "--sparse=always", source, destination]
    if job.name == "over-floor":
        return [tools.floor, source, destination]
    if job.compares:
        return compare(tools, image, job.source_format, source)
    options = job.asks_peer if job.reads else job.asks + job.asks_peer
    return qemu_convert(tools, job.source_format, job.format, options, source, destination)


def lathe_convert(tools, source_format, format, options, source, destination):
    # As qemu-img's default is (-t unsafe): neither waits for the disk.
    return [tools.lathe, "convert", "-q", "--no-flush", "-f", source_format, "-O", format, *options, source, destination]


def qemu_convert(tools, source_format, format, options, source, destination):
    return [
        tools.qemu, "convert", "-f", QEMU_NAMES[source_format], "-O", QEMU_NAMES[format], *options, source, destination,
    ]


def compare(tools, source, format, destination):
    """qemu-img's command that says, by its status, whether a result holds what the raw image holds."""
    return [tools.qemu, "compare", "-f", "raw", "-F", QEMU_NAMES[format], source, destination]


def source_path(scratch, image_path, format, maker):
    """Where the source of a job that reads is kept: beside the raw image, named after who wrote it."""
    if format == "raw":
        return image_path
    stem = os.path.basename(image_path).removesuffix(".raw")
    return os.path.join(scratch, f"{stem}.by-{maker}.{format}")
