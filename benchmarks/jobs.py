"""What is measured: the jobs, the commands of both tools for each, and what is to be reached."""

import os
from dataclasses import dataclass

# Lathe's name of a format: qemu-img's.
QEMU_NAMES = {"raw": "raw", "qcow2": "qcow2", "vhd": "vpc", "vdi": "vdi", "vmdk": "vmdk"}

ANONYMOUS_LIMIT = 64 << 20


@dataclass(frozen=True)
class Target:
    """The most that ours may take, as a part of what qemu-img takes."""

    wall: float
    cpu: float
    no_larger: bool = False


@dataclass(frozen=True)
class Job:
    """One conversion. A job that reads is done twice: from an image that qemu-img wrote, and from one of ours."""

    name: str
    source_format: str
    format: str
    target: Target | None = None
    subformat: str | None = None
    slow: bool = False

    @property
    def reads(self):
        return self.source_format != "raw"


WRITE = Target(0.75, 1.0)
READ = Target(0.8, 1.0)

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
    Job("over-floor", "raw", "qcow2", Target(1.15, float("inf"))),
    Job("vmdk-stream", "raw", "vmdk", Target(0.12, 0.3, no_larger=True), subformat="streamOptimized", slow=True),
]


@dataclass
class Tools:
    """The programs that are run."""

    lathe: str
    qemu: str = "qemu-img"
    floor: str | None = None


def ours(tools, job, source, destination):
    """Our command: what is measured."""
    if job.name == "floor":
        return [tools.floor, source, destination]
    return lathe_convert(tools, job.source_format, job.format, job.subformat, source, destination)


def peer(tools, job, source, destination):
    """The command that ours is compared with: qemu-img with its defaults, which keep the output in order."""
    if job.name == "floor":
        return ["cp", "--sparse=always", source, destination]
    if job.name == "over-floor":
        return [tools.floor, source, destination]
    return qemu_convert(tools, job.source_format, job.format, job.subformat, source, destination)


def lathe_convert(tools, source_format, format, subformat, source, destination):
    options = ["-o", f"subformat={subformat}"] if subformat else []
    return [tools.lathe, "convert", "-q", "-f", source_format, "-O", format, *options, source, destination]


def qemu_convert(tools, source_format, format, subformat, source, destination):
    options = ["-o", f"subformat={subformat}"] if subformat else []
    return [
        tools.qemu, "convert", "-f", QEMU_NAMES[source_format], "-O", QEMU_NAMES[format], *options, source, destination,
    ]


def compare(tools, source, format, destination):
    """The command that says, by its status, whether a result holds what the raw image holds."""
    return [tools.qemu, "compare", "-f", "raw", "-F", QEMU_NAMES[format], source, destination]


def source_path(scratch, image_path, format, maker):
    """Where the source of a job that reads is kept: beside the raw image, named after who wrote it."""
    if format == "raw":
        return image_path
    stem = os.path.basename(image_path).removesuffix(".raw")
    return os.path.join(scratch, f"{stem}.by-{maker}.{format}")
