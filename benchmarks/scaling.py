"""How time and memory grow with the size of a disk, and with its data; `scripts/bench-scaling` calls this.

With the disk's size nothing may grow, and with its data only the time.
"""

import argparse
import datetime
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

from measure import MemoryWatch, run, settle, warm
from report import environment, record_directory
from jobs import Tools

HERE = os.path.dirname(os.path.abspath(__file__))
SCRATCH = os.path.join(HERE, "scratch")
MIB = 1 << 20
GIB = 1 << 30
LAYOUTS = [("raw", []), ("vhd", []), ("qcow2", []), ("vmdk", []), ("vmdk", ["-c"]), ("vdi", [])]
VIRTUAL_SIZES = [1, 4, 16, 64, 256, 1024]
FIXED_DATA = 256 * MIB
DATA_SIZES = [1, 2, 4, 8, 16, 32, 64]
# What the disks of the second table are made of, again and again: little enough for the page cache.
SHARED_DATA = 512 * MIB
CLUSTER = 64 << 10


def name(layout):
    return layout[0] + (" stream" if layout[1] else "")


def log(text):
    print(text, file=sys.stderr, flush=True)


def median(values):
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def make_sparse(path, size, data):
    """A disk of `size` bytes with `data` bytes of random data, a MiB at a time, evenly spread."""
    generator = random.Random(20260102)
    count = data // MIB
    with open(path, "wb") as file:
        file.truncate(size)
        for index in range(count):
            file.seek(index * (size // count) // MIB * MIB)
            file.write(generator.randbytes(MIB))


def measure_convert(lathe, layout, source, output, repeats):
    command = [lathe, "convert", "-q", "--no-flush", "-f", "raw", "-O", layout[0], *layout[1], source, output]
    anonymous = run(command, output, watch_memory=True).anonymous
    walls = []
    for _ in range(repeats):
        settle(output)
        sample = run(command, output)
        walls.append(sample.wall)
    settle(output)
    return {"seconds": median(walls), "anonymous": anonymous, "output": sample.output_size}


def by_virtual_size(lathe, directory, repeats):
    """Rows of the first table: {layout: {size in GiB: measurement}}."""
    rows = {}
    for size in VIRTUAL_SIZES:
        source = os.path.join(directory, "sparse.raw")
        make_sparse(source, size * GIB, FIXED_DATA)
        warm(source)
        for layout in LAYOUTS:
            log(f"{size} GiB, {name(layout)}")
            output = os.path.join(directory, "output")
            rows.setdefault(name(layout), {})[size] = measure_convert(lathe, layout, source, output, repeats)
        os.unlink(source)
    return rows


def make_shared(lathe, directory):
    """A qcow2 of 512 MiB, to be mapped many times over."""
    raw = os.path.join(directory, "shared.raw")
    small = os.path.join(directory, "small.qcow2")
    generator = random.Random(20260103)
    with open(raw, "wb") as file:
        for _ in range(SHARED_DATA // MIB):
            file.write(generator.randbytes(MIB))
    subprocess.run([lathe, "convert", "-q", "-f", "raw", "-O", "qcow2", raw, small], check=True)
    os.unlink(raw)
    return small


def host_clusters(small):
    """Where a qcow2's clusters are in the file, in guest order."""
    with open(small, "rb") as file:
        header = file.read(104)
        (l1_size,) = struct.unpack(">I", header[36:40])
        (l1_offset,) = struct.unpack(">Q", header[40:48])
        file.seek(l1_offset)
        l1 = struct.unpack(f">{l1_size}Q", file.read(8 * l1_size))
        found = []
        for entry in l1:
            file.seek(entry & 0x00FFFFFFFFFFFE00)
            found += struct.unpack(f">{CLUSTER // 8}Q", file.read(CLUSTER))
    return [entry for entry in found if entry]


def make_repeated(small, path, size):
    """A qcow2 whose disk of `size` bytes is the small one's, again and again: new tables over the same clusters.

    Its refcounts are wrong, which a reader need not know.
    """
    clusters = host_clusters(small)
    subprocess.run(["cp", "--reflink=auto", small, path], check=True)
    with open(path, "r+b") as file:
        end = (os.path.getsize(path) + CLUSTER - 1) // CLUSTER * CLUSTER
        l2 = struct.pack(f">{len(clusters)}Q", *clusters)
        count = size // SHARED_DATA
        for index in range(count):
            file.seek(end + index * CLUSTER)
            file.write(l2)
        l1_offset = end + count * CLUSTER
        file.seek(l1_offset)
        file.write(struct.pack(f">{count}Q", *(end + index * CLUSTER | 1 << 63 for index in range(count))))
        file.truncate(l1_offset + CLUSTER)
        file.seek(24)
        file.write(struct.pack(">Q", size))
        file.seek(36)
        file.write(struct.pack(">IQ", count, l1_offset))


def measure_bench(lathe, job, layout, source, repeats):
    """What `lathe bench` says of one job into nothing, and the memory that it took."""
    command = [lathe, "bench", "--source", source, "-f", "qcow2", "--to", "none", "--jobs", job, "--formats", layout,
               "--threads", str(os.cpu_count()), "--repeat", str(repeats), "--no-peer", "--output", "json",
               "--progress", "none"]
    with tempfile.TemporaryFile() as text:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=text)
        watch = MemoryWatch(process.pid)
        watch.start()
        if process.wait() != 0:
            raise SystemExit(f"{' '.join(command)}: ended with {process.returncode}")
        watch.ended.set()
        watch.join()
        text.seek(0)
        result = json.load(text)["results"][0]
    return {"seconds": median(result["lathe"]["seconds"]), "anonymous": watch.most, "data": result["data-bytes"]}


def by_data(lathe, directory, repeats):
    """Rows of the second table: {layout: {GiB of data: measurement}}."""
    rows = {}
    small = make_shared(lathe, directory)
    for size in reversed(DATA_SIZES):
        source = os.path.join(directory, "repeated.qcow2")
        make_repeated(small, source, size * GIB)
        warm(source)
        for layout in ["raw", "vhd:dynamic", "qcow2", "vmdk:monolithicSparse", "vdi"]:
            log(f"{size} GiB of data, {layout}")
            rows.setdefault(layout, {})[size] = measure_bench(lathe, "write", layout, source, repeats)
        os.unlink(source)
    return rows


def table(rows, unit):
    sizes = sorted(next(iter(rows.values())))
    lines = ["| | " + " | ".join(f"{size} {unit}" for size in sizes) + " |", "|---|" + "---|" * len(sizes)]
    for layout, cells in rows.items():
        texts = [f"{cells[size]['seconds']:.2f} s, {cells[size]['anonymous'] / MIB:.1f} MiB" for size in sizes]
        lines.append(f"| {layout} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench-scaling", description=__doc__)
    parser.add_argument("--lathe", required=True, metavar="PATH", help="the program to measure")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="how often each is measured (default 3)")
    arguments = parser.parse_args()
    os.makedirs(SCRATCH, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH, prefix="scaling.") as directory:
        # The second needs the most room, and so fails first.
        data = by_data(arguments.lathe, directory, arguments.repeat)
        virtual = by_virtual_size(arguments.lathe, directory, arguments.repeat)
        machine = environment(Tools(arguments.lathe), {"disk": directory})
    text = f"""# Scaling, {datetime.date.today()}

Medians of {arguments.repeat} runs, and the most anonymous memory of a run that was watched; checksums on, every processor.

## By virtual size, with 256 MiB of data

`lathe convert` of a sparse raw disk into a file on disk; 1 MiB of random data at a time, evenly spread.

{table(virtual, "GiB")}

## By data

`lathe bench --to none --jobs write`: the disk is read and converted, and what would be written is thrown away. The source is a
qcow2 whose tables map the same 512 MiB of random data again and again, so that it is in the page cache and fits the disk.

{table(data, "GiB")}

## Machine and versions

| | |
|---|---|
""" + "\n".join(f"| {key} | {value} |" for key, value in machine.items()) + "\n"
    path = record_directory(os.path.join(HERE, "runs"), machine)
    with open(os.path.join(path, "scaling.md"), "w", encoding="utf-8") as file:
        file.write(text)
    with open(os.path.join(path, "scaling.json"), "w", encoding="utf-8") as file:
        json.dump({"virtual": virtual, "data": data, "machine": machine}, file, indent=2)
        file.write("\n")
    print(text)


if __name__ == "__main__":
    sys.exit(main())
