"""Makes the two images that the benchmark converts, once: later runs find them."""

import os
import random
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True)
class Shape:
    """How large the images are."""

    name: str
    real_virtual: int
    real_data: int
    mixed_virtual: int


FULL = Shape("full", 8 * GIB, 1200 * MIB, 2 * GIB)
QUICK = Shape("quick", 256 * MIB, 48 * MIB, 64 * MIB)

MIXED_SEED = 20260101


def make_images(scratch, shape):
    """Answers {name: path} of the images in `scratch`, made where they are not there yet."""
    makers = {"real": make_real, "mixed": make_mixed}
    paths = {}
    for name, maker in makers.items():
        path = os.path.join(scratch, f"{shape.name}-{name}.raw")
        if not os.path.exists(path):
            print(f"making the {name} image (once)", file=sys.stderr, flush=True)
            part = path + ".part"
            try:
                maker(part, shape, scratch)
                os.rename(part, path)
            finally:
                if os.path.exists(part):
                    os.unlink(part)
        paths[name] = path
    return paths


# A real file system


def make_real(path, shape, scratch):
    """An ext4 file system that holds files of this machine."""
    staging = tempfile.mkdtemp(prefix="files.", dir=scratch)
    try:
        taken = copy_files(file_roots(), staging, shape.real_data)
        if taken < shape.real_data * 9 // 10:
            raise SystemExit(
                f"bench: found only {taken // MIB} MiB of files to put into the image, expected {shape.real_data // MIB}")
        with open(path, "wb") as image:
            image.truncate(shape.real_virtual)
        subprocess.run(["mkfs.ext4", "-q", "-F", "-L", "bench", "-d", staging, path], check=True)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def file_roots():
    """Where the files come from: the system's own, then the Swift toolchain's, where the system is a small one."""
    roots = ["/usr/share", "/usr/bin", "/usr/sbin", "/usr/include", "/usr/lib"]
    swift = shutil.which("swift")
    if swift:
        roots.append(os.path.dirname(os.path.dirname(os.path.realpath(swift))))
    return roots


def copy_files(roots, destination, wanted):
    """Copies files in the order of their names until so many bytes are taken; answers how many were."""
    taken = 0
    seen = set()
    for root in roots:
        for directory, names, files in os.walk(root):
            names.sort()
            target = destination + directory
            os.makedirs(target, exist_ok=True)
            for name in sorted(files):
                if taken >= wanted:
                    return taken
                taken += copy_file(os.path.join(directory, name), os.path.join(target, name), seen)
    return taken


def copy_file(path, target, seen):
    """Copies a regular file or a symbolic link; answers the bytes that it takes of a file system."""
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(path), target)
            return 0
        if not stat.S_ISREG(status.st_mode) or (status.st_dev, status.st_ino) in seen:
            return 0
        seen.add((status.st_dev, status.st_ino))
        shutil.copy2(path, target)
    except (PermissionError, FileExistsError, FileNotFoundError):
        return 0
    return (status.st_size + 4095) // 4096 * 4096


# Runs of one kind after another


def make_mixed(path, shape, _scratch):
    """Runs of random bytes, text, written zeros and holes, of 4 KiB to 4 MiB, the same ones every time."""
    generator = random.Random(MIXED_SEED)
    text = make_text(generator, 8 * MIB)
    zeros = bytes(4 * MIB)
    kinds = ["random", "text", "zeros", "hole"]
    weights = [25, 35, 15, 25]
    with open(path, "wb", buffering=0) as image:
        image.truncate(shape.mixed_virtual)
        offset = 0
        while offset < shape.mixed_virtual:
            # Small runs are as frequent as large ones; one in four ends off a file system's blocks.
            length = 4096 << generator.randrange(11)
            length -= 512 * generator.choice([0, 0, 0, generator.randrange(1, 8)])
            length = min(length, shape.mixed_virtual - offset)
            kind = generator.choices(kinds, weights)[0]
            if kind == "random":
                os.pwrite(image.fileno(), generator.randbytes(length), offset)
            elif kind == "text":
                start = generator.randrange(len(text) - length)
                os.pwrite(image.fileno(), text[start : start + length], offset)
            elif kind == "zeros":
                os.pwrite(image.fileno(), zeros[:length], offset)
            offset += length


def make_text(generator, length):
    """Lines of words of a made-up language, frequent and rare ones, which deflate shrinks to about a third."""
    letters = "eeetaoinsrhldcumfpgwybvkxjqz"
    words = ["".join(generator.choices(letters, k=generator.randrange(2, 11))) for _ in range(6000)]
    weights = [1 / (rank + 3) for rank in range(len(words))]
    lines = []
    written = 0
    while written < length:
        line = " ".join(generator.choices(words, weights, k=14)) + "\n"
        lines.append(line)
        written += len(line)
    return "".join(lines).encode()[:length]
