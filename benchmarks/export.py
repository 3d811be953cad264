"""How long an export into a store takes, beside the way without Lathe; `scripts/bench-export` calls this.

In turn, in one run, all to one `lathe serve --oss-only` on loopback, whose objects are on the same disk:
`lathe export`; `qemu-img convert` into a file and then `oss2.resumable_upload` of that file; `lathe convert` into a file; and the
upload of that file alone (`lathe export -O raw`).
"""

import argparse
import datetime
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile

from images import FULL, QUICK, make_images
from jobs import Tools
from measure import run, settle, warm
from report import environment, record_directory

HERE = os.path.dirname(os.path.abspath(__file__))
SCRATCH = os.path.join(HERE, "scratch")
MIB = 1 << 20
KEY, SECRET, BUCKET = "bench-key", "bench-secret", "bench"
FORMATS = ["qcow2", "vhd", "vmdk", "vdi"]
PEER_NAMES = {"vhd": "vpc"}

# The peer's half, run by the Python that has oss2: argument 1 is the endpoint, 2 the key, 3 the file.
UPLOAD = """
import sys, oss2
auth = oss2.AuthV4({key!r}, {secret!r})
bucket = oss2.Bucket(auth, sys.argv[1], {bucket!r}, region="cn-hangzhou")
oss2.resumable_upload(bucket, sys.argv[2], sys.argv[3], store=oss2.ResumableStore(root=sys.argv[4]))
""".format(key=KEY, secret=SECRET, bucket=BUCKET)


def log(text):
    print(text, file=sys.stderr, flush=True)


class Server:
    """The embedded endpoint, on a free port of loopback, for as long as the block lasts."""

    def __init__(self, lathe, directory):
        environment_ = dict(os.environ, OSS_ACCESS_KEY_ID=KEY, OSS_ACCESS_KEY_SECRET=SECRET)
        self.process = subprocess.Popen(
            [lathe, "serve", "--oss-only", "--data-directory", directory, "--port", "0", "--access-key-id", KEY,
             "--access-key-secret", SECRET], stdout=subprocess.PIPE, text=True, env=environment_)
        line = self.process.stdout.readline()
        address = next((word for word in line.split() if word.startswith("http://")), None)
        if address is None:
            raise SystemExit(f"bench: the server did not say where it listens: {line!r}")
        self.endpoint = address.rstrip(".,;")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def median(values):
    return statistics.median(values)


class Bench:
    def __init__(self, arguments, directory, server):
        self.lathe, self.python, self.directory, self.server = arguments.lathe, arguments.python, directory, server
        os.environ.update(OSS_ACCESS_KEY_ID=KEY, OSS_ACCESS_KEY_SECRET=SECRET, OSS_REGION="cn-hangzhou")

    def emptied(self, *outputs):
        settle(*outputs)
        shutil.rmtree(os.path.join(self.directory, "data", BUCKET), ignore_errors=True)
        os.makedirs(os.path.join(self.directory, "data", BUCKET))
        os.sync()

    def export(self, source, format_, watch=False, *more):
        self.emptied()
        command = [self.lathe, "export", "-q", "-f", "raw", "-O", format_, "--endpoint", self.server.endpoint, "--bucket", BUCKET,
                   "--object", "object", *more, source]
        return run(command, os.path.join(self.directory, "data", BUCKET, "object"), watch_memory=watch)

    def peer(self, source, format_):
        image = os.path.join(self.directory, "peer.img")
        self.emptied(image)
        shutil.rmtree(os.path.join(self.directory, "records"), ignore_errors=True)
        convert = run(["qemu-img", "convert", "-f", "raw", "-O", PEER_NAMES.get(format_, format_), source, image], image)
        upload = run([self.python, "-c", UPLOAD, self.server.endpoint, "object", image,
                      os.path.join(self.directory, "records")], image)
        return convert.wall, upload.wall

    def convert(self, source, format_):
        image = os.path.join(self.directory, "ours.img")
        self.emptied(image)
        return image, run([self.lathe, "convert", "-q", "--no-flush", "-f", "raw", "-O", format_, source, image], image).wall


def measure(bench, source, format_, pairs):
    rows = []
    size = 0
    for _ in range(pairs):
        ours = bench.export(source, format_)
        size = ours.output_size
        peer_convert, peer_upload = bench.peer(source, format_)
        image, convert = bench.convert(source, format_)
        upload = bench.export(image, "raw").wall
        os.unlink(image)
        rows.append(dict(ours=ours.wall, peer_convert=peer_convert, peer_upload=peer_upload, convert=convert, upload=upload))
    anonymous = bench.export(source, format_, True).anonymous
    return dict(
        rows=rows, size=size, anonymous=anonymous,
        over_peer=median([row["ours"] / (row["peer_convert"] + row["peer_upload"]) for row in rows]),
        over_slower=median([row["ours"] / max(row["convert"], row["upload"]) for row in rows]),
        **{name: median([row[name] for row in rows]) for name in rows[0]})


def table(results):
    lines = [
        "| image | format | object MiB | export s | qemu-img s + oss2 s | ratio (≤ 0.5) | convert s | upload s | over the slower "
        "(≤ 1.25) | anonymous MiB |", "|---|---|---|---|---|---|---|---|---|---|"]
    for (image, format_), result in results.items():
        lines.append(
            f"| {image} | {format_} | {result['size'] / MIB:.0f} | {result['ours']:.2f} | {result['peer_convert']:.2f} + "
            f"{result['peer_upload']:.2f} | {result['over_peer']:.2f} | {result['convert']:.2f} | {result['upload']:.2f} | "
            f"{result['over_slower']:.2f} | {result['anonymous'] / MIB:.1f} |")
    return "\n".join(lines)


def make_wide(path):
    """100 GiB of disk with 2 GiB of data, a MiB at a time."""
    block = os.urandom(MIB)
    with open(path, "wb") as file:
        file.truncate(100 << 30)
        for index in range(2048):
            file.seek(index * 50 * MIB)
            file.write(index.to_bytes(8, "little") + block[8:])


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench-export", description=__doc__)
    parser.add_argument("--lathe", required=True, metavar="PATH", help="the program to measure")
    parser.add_argument("--python", required=True, metavar="PATH", help="a Python that has oss2")
    parser.add_argument("--pairs", type=int, default=3, metavar="N", help="how often each is measured (default 3)")
    parser.add_argument("--quick", action="store_true", help="small images: to try the script, not to measure")
    parser.add_argument("--formats", default=",".join(FORMATS), metavar="LIST", help="which formats")
    arguments = parser.parse_args()
    os.makedirs(SCRATCH, exist_ok=True)
    images = make_images(SCRATCH, QUICK if arguments.quick else FULL)
    results = {}
    with tempfile.TemporaryDirectory(dir=SCRATCH, prefix="export.") as directory:
        data = os.path.join(directory, "data")
        subprocess.run([arguments.lathe, "export", "-q", "--endpoint", data, "--bucket", BUCKET, "--object", "first", "-f", "raw",
                        images["mixed"]], check=True)
        with Server(arguments.lathe, data) as server:
            bench = Bench(arguments, directory, server)
            for name, source in images.items():
                warm(source)
                for format_ in arguments.formats.split(","):
                    log(f"{name} to {format_}")
                    results[name, format_] = measure(bench, source, format_, arguments.pairs)
            wide = None
            if not arguments.quick:
                source = os.path.join(directory, "wide.raw")
                make_wide(source)
                log("100 GiB with 2 GiB of data to qcow2")
                wide = bench.export(source, "qcow2", True)
        machine = environment(Tools(arguments.lathe), {"disk": directory})
    lines = [f"# Export, {datetime.date.today()}", "", __doc__.split("\n", 2)[2].strip(), "",
             f"Medians of {arguments.pairs} runs; a ratio is the median of the pairs'. Memory: the most anonymous memory of a run of "
             "its own, the exporting process alone; parts of 8 MiB, four on their way.", "", table(results), ""]
    if wide:
        lines += [f"100 GiB of disk with 2 GiB of data to qcow2: {wide.wall:.2f} s, {wide.anonymous / MIB:.1f} MiB of anonymous "
                  f"memory, an object of {wide.output_size / MIB:.0f} MiB.", ""]
    lines += ["## Machine and versions", "", "| | |", "|---|---|"]
    lines += [f"| {key} | {value} |" for key, value in machine.items()]
    text = "\n".join(lines) + "\n"
    if not arguments.quick:
        path = record_directory(os.path.join(HERE, "runs"), machine)
        with open(os.path.join(path, "export.md"), "w", encoding="utf-8") as file:
            file.write(text)
        with open(os.path.join(path, "export.json"), "w", encoding="utf-8") as file:
            json.dump({"results": {" ".join(key): value for key, value in results.items()}, "machine": machine}, file, indent=2)
            file.write("\n")
    print(text)


if __name__ == "__main__":
    sys.exit(main())
