"""Turns samples into the table that is printed and the record that is kept."""

import datetime
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
from dataclasses import asdict, dataclass, field

from jobs import ANONYMOUS_LIMIT, Job
from measure import Sample

MIB = 1 << 20


@dataclass
class Result:
    """Everything that was measured of one job, on one image, to one place."""

    job: Job
    image: str
    place: str
    source_by: str
    ours: list[Sample] = field(default_factory=list)
    peers: list[Sample] = field(default_factory=list)
    anonymous: int | None = None
    peer_anonymous: int | None = None
    failure: str | None = None

    def ratio(self, measure):
        """The median of the pairs' ratios: a slow moment of the machine meets both runs of a pair."""
        pairs = zip(self.ours, self.peers)
        return statistics.median(getattr(a, measure) / max(getattr(b, measure), 1e-6) for a, b in pairs)

    def size_ratio(self):
        """Our output's length by the peer's; nothing where there is no output."""
        return self.ours[-1].output_size / max(self.peers[-1].output_size, 1)

    def misses(self):
        """What was to be reached and was not."""
        target = self.job.target
        if target is None:
            return []
        missed = []
        if self.ratio("wall") > target.wall:
            missed.append("wall")
        if target.cpu is not None and self.ratio("cpu") > target.cpu:
            missed.append("CPU")
        if (self.anonymous or 0) > ANONYMOUS_LIMIT:
            missed.append("memory")
        if target.size is not None and self.size_ratio() > target.size:
            missed.append("size")
        return missed


# The table

HEADER = [
    "job", "image", "source by", "to", "pairs", "ours s", "peer s", "wall ratio", "CPU ratio", "size ratio", "target", "met",
    "anon MiB", "peer MiB", "ours MiB out", "peer MiB out",
]


def title(job):
    if job.name == "floor":
        return "floor: C loop / cp"
    if job.name == "over-floor":
        return "raw to qcow2 / C loop"
    if job.compares:
        return f"{options(job, job.source_format)} compared"
    if job.reads:
        return f"{options(job, job.source_format)} to {job.format}"
    return f"{job.source_format} to {options(job, job.format)}"


def options(job, format):
    """A format with what the two tools are asked for: `qcow2 -c`, `qcow2 -c (ours compression_level=6)`."""
    words = [format, *plain(job.asks)]
    for who, asked in (("ours", job.asks_ours), ("peer", job.asks_peer)):
        if asked:
            words.append(f"({who} {' '.join(plain(asked))})")
    return " ".join(words)


def plain(words):
    """Options without the `-o` in front of them."""
    return [word for word in words if word != "-o"]


def median(samples, measure):
    return statistics.median(getattr(sample, measure) for sample in samples)


def row(result):
    """The cells of a result, as text."""
    job = result.job
    head = [title(job), result.image, result.source_by, result.place]
    if result.failure:
        return head + ["-"] * 7 + ["FAILED"] + ["-"] * 4
    target = job.target
    missed = result.misses()
    return head + [
        str(len(result.ours)),
        f"{median(result.ours, 'wall'):.3f}",
        f"{median(result.peers, 'wall'):.3f}",
        f"{result.ratio('wall'):.3f}",
        f"{result.ratio('cpu'):.3f}",
        f"{result.size_ratio():.3f}",
        limits(target) if target else "-",
        "-" if target is None else "no: " + ", ".join(missed) if missed else "yes",
        mebibytes(result.anonymous),
        mebibytes(result.peer_anonymous),
        mebibytes(result.ours[-1].output_allocated),
        mebibytes(result.peers[-1].output_allocated),
    ]


def limits(target):
    """The most that ours may take of wall time, CPU time and size, where each has a limit."""
    return " / ".join("-" if limit is None else f"{limit:g}" for limit in (target.wall, target.cpu, target.size))


def mebibytes(count):
    return "-" if count is None else f"{count / MIB:.0f}" if count >= 100 * MIB else f"{count / MIB:.1f}"


def table(results):
    """A Markdown table whose columns line up as plain text too."""
    rows = [HEADER] + [row(result) for result in results]
    widths = [max(len(cells[column]) for cells in rows) for column in range(len(HEADER))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths)) + " |" for cells in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def failures(results):
    return [f"{title(r.job)}, {r.image} to {r.place}: {r.failure}" for r in results if r.failure]


# The machine and the versions


def first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    except OSError:
        return "unknown"
    lines = (done.stdout or done.stderr).strip().splitlines()
    return lines[0].strip() if lines and done.returncode == 0 else "unknown"


def package_version(name):
    if not shutil.which("dpkg-query"):
        return "unknown"
    return first_line(["dpkg-query", "--show", "--showformat=${Version}", name])


def cpu_model():
    with open("/proc/cpuinfo") as information:
        found = re.search(r"^model name\s*:\s*(.*)$", information.read(), re.MULTILINE)
    return found.group(1).strip() if found else platform.machine()


def memory_size():
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def environment(tools, places):
    """What a reader must know to compare this run with another. No host name and no path is in it."""
    status = first_line(["git", "status", "--porcelain", "--untracked-files=no"])
    return {
        "lathe": first_line([tools.lathe, "--version"]),
        "commit": first_line(["git", "rev-parse", "HEAD"]) + ("" if status == "unknown" else " and changes"),
        "swift": first_line(["swift", "--version"]),
        "qemu-img": first_line([tools.qemu, "--version"]),
        "isa-l": package_version("libisal-dev"),
        "libdeflate": package_version("libdeflate-dev"),
        "zstd": package_version("libzstd-dev"),
        "zlib": package_version("zlib1g-dev"),
        "cp": first_line(["cp", "--version"]),
        "kernel": "Linux " + platform.release().split("-")[0],
        "cpu": cpu_model(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory_size() / (1 << 30):.0f} GiB",
        **{f"file system ({name})": first_line(["stat", "-f", "-c", "%T", path]) for name, path in places.items()},
    }


# The record


def record_directory(root, machine):
    """A new directory, named after the day and the kind of machine."""
    kind = re.sub(r"[^a-z0-9]+", "-", f"{machine['cpu']} {machine['cores']} cores".lower()).strip("-")
    base = os.path.join(root, f"{datetime.date.today().isoformat()}-{kind}")
    path, count = base, 1
    while os.path.exists(path):
        count += 1
        path = f"{base}-{count}"
    os.makedirs(path)
    return path


def write_record(root, command, machine, images, results):
    """Writes README.md, for people, and results.json, with every sample."""
    path = record_directory(root, machine)
    lines = [f"# Benchmark of {datetime.date.today().isoformat()}", "", f"    {command}", "", table(results), ""]
    for failure in failures(results):
        lines.append(f"- FAILED: {failure}")
    lines += ["", "How to read it: `benchmarks/README.md`. Every sample is in `results.json`.", "", "## Images", ""]
    lines += [f"- {name}: {text}" for name, text in images.items()]
    lines += ["", "## Machine and versions", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in machine.items()]
    with open(os.path.join(path, "README.md"), "w") as readme:
        readme.write("\n".join(lines) + "\n")
    payload = {
        "schema": "lathe.benchmark/1",
        "command": command,
        "machine": machine,
        "images": images,
        "results": [asdict(result) for result in results],
    }
    with open(os.path.join(path, "results.json"), "w") as file:
        json.dump(payload, file, indent=1, sort_keys=True)
        file.write("\n")
    return path
