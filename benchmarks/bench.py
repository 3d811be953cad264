"""Runs Lathe and qemu-img in turn over the same jobs, and records what each took. `scripts/bench` calls this."""

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile

import images
import report
from jobs import JOBS, Tools, compare, lathe_convert, ours, peer, qemu_convert, source_path
from measure import CommandFailed, file_size, run, settle, spawn, warm

HERE = os.path.dirname(os.path.abspath(__file__))
SCRATCH = os.path.join(HERE, "scratch")


def log(text):
    print(text, file=sys.stderr, flush=True)


def parse_arguments():
    names = [job.name for job in JOBS]
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="runs of each tool, in turn (default 5)")
    parser.add_argument("--stream-pairs", type=int, default=1, metavar="N",
                        help="the same for what is compressed with zlib, which takes qemu-img long (default 1)")
    parser.add_argument("--jobs", type=listed(names), default=names, metavar="LIST", help=f"of {','.join(names)}")
    parser.add_argument("--images", type=listed(["real", "mixed"]), default=["real", "mixed"], metavar="LIST",
                        help="of real,mixed")
    parser.add_argument("--places", type=listed(["tmpfs", "disk"]), default=["tmpfs", "disk"], metavar="LIST",
                        help="where outputs go, of tmpfs,disk")
    parser.add_argument("--sources", type=listed(["qemu", "lathe"]), default=["qemu", "lathe"], metavar="LIST",
                        help="who writes what is read in the jobs to raw, of qemu,lathe")
    parser.add_argument("--lathe", metavar="PATH", help="the program to measure (default: a release build of this tree)")
    parser.add_argument("--quick", action="store_true", help="small images: tests the benchmark, measures nothing")
    parser.add_argument("--no-record", action="store_true", help="print the table and keep no record of it")
    arguments = parser.parse_args()
    if min(arguments.pairs, arguments.stream_pairs) < 1:
        parser.error("there must be at least one pair")
    if not arguments.lathe:
        parser.error("--lathe is missing; scripts/bench gives it")
    return arguments


def listed(allowed):
    """An argument type: names joined by commas, each one of those allowed."""

    def parse(text):
        names = text.split(",")
        for name in names:
            if name not in allowed:
                raise argparse.ArgumentTypeError(f"'{name}' is none of {','.join(allowed)}")
        return names

    return parse


def build_floor(directory):
    """Builds the bare loop; answers its path."""
    compiler = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
    if compiler is None:
        raise SystemExit("bench: there is no C compiler for the job 'floor'; leave it out of --jobs")
    program = os.path.join(directory, "floor")
    subprocess.run(
        [compiler, "-O3", "-march=native", "-pthread", "-o", program, os.path.join(HERE, "floor.c")], check=True)
    return program


class Bench:
    """The run: tools, images and places."""

    def __init__(self, arguments, tools, image_paths, places):
        self.arguments = arguments
        self.tools = tools
        self.image_paths = image_paths
        self.places = places
        self.results = []

    def run(self):
        for job in JOBS:
            if job.name not in self.arguments.jobs:
                continue
            for image in self.arguments.images:
                for maker in self.arguments.sources if job.reads else ["-"]:
                    self.run_job(job, image, maker)

    def run_job(self, job, image, maker):
        """One job from one source, to every place."""
        source = source_path(SCRATCH, self.image_paths[image], job.source_format, maker)
        try:
            if job.reads:
                self.make_source(job, image, maker, source)
            for place, directory in self.places.items():
                result = report.Result(job, image, place, maker)
                self.results.append(result)
                log(f"{report.title(job)}, {image}" + (f" by {maker}" if job.reads else "") + f", to {place}")
                try:
                    self.measure(result, source, directory)
                except CommandFailed as error:
                    result.failure = self.without_paths(str(error))
                    log(f"  FAILED: {error}")
        finally:
            if job.reads:
                settle(source)

    def make_source(self, job, image, maker, source):
        convert = lathe_convert if maker == "lathe" else qemu_convert
        settle(source)
        run(convert(self.tools, "raw", job.source_format, job.asks, self.image_paths[image], source), source)
        settle()

    def measure(self, result, source, directory):
        """Warms up, checks that what is measured is right, then takes the pairs."""
        job, tools = result.job, self.tools
        output = os.path.join(directory, f"output.{job.format}")
        paths = (self.image_paths[result.image], source, output)
        pairs = self.arguments.stream_pairs if job.slow else self.arguments.pairs
        try:
            warm(source)
            if job.compares:
                warm(self.image_paths[result.image])
            settle(output)
            result.anonymous = run(ours(tools, job, *paths), output, watch_memory=True).anonymous
            self.require_same(result, output)
            settle(output)
            if not job.slow:
                watched = run(peer(tools, job, *paths), output, watch_memory=True)
                result.peer_anonymous = watched.anonymous
                settle(output)
            for _ in range(pairs):
                result.ours.append(run(ours(tools, job, *paths), output))
                settle(output)
                result.peers.append(run(peer(tools, job, *paths), output))
                settle(output)
            log(f"  {result.ratio('wall'):.2f} of the peer's wall time, {result.ratio('cpu'):.2f} of its CPU time")
        finally:
            settle(output)

    def require_same(self, result, output):
        """A fast result that is wrong is none; a comparison that finds another disk has failed by itself."""
        if result.job.compares:
            return
        command = compare(self.tools, self.image_paths[result.image], result.job.format, output)
        _, status = os.waitpid(spawn(command), 0)
        if status != 0:
            raise CommandFailed("the output differs from the source")

    def without_paths(self, text):
        for directory in [*self.places.values(), SCRATCH, os.path.dirname(os.path.abspath(self.tools.lathe))]:
            text = text.replace(directory + os.sep, "")
        return text


def describe_images(paths, shape):
    """What the images are, for the record."""
    details = {
        "real": "ext4, made by mkfs.ext4 from files of the machine",
        "mixed": f"runs of random bytes, text, zeros and holes, seed {images.MIXED_SEED}",
    }
    described = {}
    for name, path in paths.items():
        size, allocated = file_size(path)
        described[name] = f"{details[name]}; {size >> 20} MiB virtual, {allocated >> 20} MiB of the disk ({shape.name})"
    return described


def command_line():
    """The command as it was given, without paths."""
    words = sys.argv[1:]
    if "--lathe" in words:
        at = words.index("--lathe")
        del words[at : at + 2]
    return shlex.join(["scripts/bench", *words])


def make_places(names):
    """A new directory in each place for outputs."""
    parents = {"tmpfs": "/dev/shm", "disk": SCRATCH}
    places = {}
    for name in names:
        places[name] = tempfile.mkdtemp(prefix="lathe-bench.", dir=parents[name])
        free = os.statvfs(places[name])
        if free.f_bavail * free.f_frsize < 4 * images.GIB:
            log(f"bench: less than 4 GiB are free for the outputs on {name}; expect failures")
    return places


def main():
    arguments = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    os.makedirs(SCRATCH, exist_ok=True)
    shape = images.QUICK if arguments.quick else images.FULL
    paths = images.make_images(SCRATCH, shape)
    tools = Tools(arguments.lathe)
    places = {}
    try:
        places = make_places(arguments.places)
        with tempfile.TemporaryDirectory(dir=SCRATCH) as programs:
            if {"floor", "over-floor"} & set(arguments.jobs):
                tools.floor = build_floor(programs)
            bench = Bench(arguments, tools, paths, places)
            bench.run()
        print(report.table(bench.results))
        for failure in report.failures(bench.results):
            print(f"FAILED: {failure}")
        if not arguments.no_record:
            machine = report.environment(tools, places)
            # What a small image shows is no measurement, and has no place among the runs.
            root = os.path.join(SCRATCH if arguments.quick else HERE, "runs")
            path = report.write_record(root, command_line(), machine, describe_images(paths, shape), bench.results)
            print(f"\nrecorded in {os.path.relpath(path, os.path.dirname(HERE))}")
    finally:
        for directory in places.values():
            shutil.rmtree(directory, ignore_errors=True)
    return 1 if report.failures(bench.results) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        log("bench: stopped; nothing is recorded")
        sys.exit(130)
