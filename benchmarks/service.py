"""What load the ExportImage service bears; `scripts/bench-service` calls this.

`wrk` sends requests that were signed before (V1.0, a nonce each, so each is checked, claimed and good once) to a `lathe serve` on
loopback with its embedded store: DescribeTasks while nothing runs; ExportImage for a thousand images, as fast as they are
taken; DescribeTasks again while those tasks wait and run; and then the time until all are finished.
"""

import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse

from jobs import Tools
from report import environment, record_directory

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "Tests", "LatheServiceTests", "Peers"))
import rpc  # noqa: E402 (it is beside the tests, which sign by hand as well)

SCRATCH = os.path.join(HERE, "scratch")
REGION, MIB = "cn-hangzhou", 1 << 20
THREADS, CONNECTIONS = 2, 32


def log(text):
    print(text, file=sys.stderr, flush=True)


class Server:
    """The service over a directory, on free ports of loopback, for as long as the block lasts."""

    def __init__(self, lathe, directory):
        self.lathe, self.data, self.log = lathe, os.path.join(directory, "data"), open(os.path.join(directory, "serve.log"), "wb")
        self.process = subprocess.Popen(
            [lathe, "serve", "--data-directory", self.data, "--port", "0", "--oss-port", "0", "--output", "json"], stdout=subprocess.PIPE,
            stderr=self.log)
        text = b""
        while True:
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit(f"bench: the service did not say where it listens: {text.decode()!r}")
            text += line
            try:
                self.greeting = json.loads(text)
                return
            except ValueError:
                continue

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        self.log.close()

    def memory(self):
        """Bytes of anonymous memory that it has now."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon:"))


class Bench:
    def __init__(self, arguments, directory, server):
        self.directory, self.server, self.arguments = directory, server, arguments
        greeting = server.greeting
        self.endpoint, self.key, self.secret = greeting["endpoint"], greeting["accessKeyId"], greeting["accessKeySecret"]
        self.account, self.bucket = greeting["accountId"], greeting["bucket"]

    def apply(self, **document):
        path = os.path.join(self.directory, "apply.json")
        with open(path, "w") as file:
            json.dump(document, file)
        subprocess.run([self.server.lathe, "admin", "apply", "--data-directory", self.server.data, path], check=True, stdout=subprocess.DEVNULL)

    def ask(self, action, **parameters):
        return rpc.call_v3(self.endpoint, self.key, self.secret, action, dict(parameters, RegionId=REGION)).json

    def prepare(self, count):
        """An image for each export, since one is exported once at a time; all have the same disk."""
        disk = os.path.join(self.directory, "disk.raw")
        block = os.urandom(MIB)
        with open(disk, "wb") as file:
            for index in range(4):
                file.write(index.to_bytes(8, "little") + block[8:])
            file.truncate(64 * MIB)
        images = [{"name": f"image-{index}", "region": REGION, "disks": [{"path": disk}]} for index in range(count)]
        self.apply(accounts=[{"id": self.account, "quotas": {"concurrentExports": 10_000, "weeklyExports": 1_000_000}, "images": images}])
        found = []
        while True:
            page = self.ask("DescribeImages", PageSize="100", PageNumber=str(len(found) // 100 + 1))["Images"]["Image"]
            found += [one["ImageId"] for one in page]
            if len(page) < 100:
                return found

    def load(self, requests, seconds, done=None):
        """Sends requests, each once, for so many seconds, or until `done` answers that all have been carried out."""
        path = os.path.join(self.directory, "requests")
        with open(path, "w") as file:
            for action, parameters in requests:
                signed = rpc.v1(self.key, self.secret, action, dict(parameters, RegionId=REGION))
                file.write("/?" + urllib.parse.urlencode(signed) + "\n")
        before = self.server.memory()
        began = time.monotonic()
        wrk = subprocess.Popen(
            ["wrk", "-t", str(THREADS), "-c", str(CONNECTIONS), "-d", f"{seconds}s", "--timeout", "30s", "-s", os.path.join(HERE, "signed.lua"),
             self.endpoint], env=dict(os.environ, REQUESTS=path, THREADS=str(THREADS)), stdout=subprocess.PIPE, text=True)
        if done:
            # wrk itself always goes on for all of its time.
            while wrk.poll() is None and not done():
                time.sleep(0.02)
            wrk.send_signal(signal.SIGINT)
        taken = time.monotonic() - began
        result = json.loads(wrk.communicate()[0].splitlines()[-1])
        if done:
            result["seconds"] = taken
        result.update(rate=result["requests"] / result["seconds"], memory_before=before, memory_after=self.server.memory())
        return result

    def waiting(self):
        return sum(self.ask("DescribeTasks", TaskStatus=status, PageSize="1")["TotalCount"] for status in ("Waiting", "Processing"))


def measure(bench):
    quick = bench.arguments.quick
    tasks, requests, seconds = (50, 2000, 2) if quick else (1000, 150_000, 10)
    images = bench.prepare(tasks)
    describe = [("DescribeTasks", {})]
    results = {}
    log("DescribeTasks, a first round that does not count")
    bench.load(describe * min(requests, 5000), 2)
    log("DescribeTasks, nothing runs")
    results["DescribeTasks, nothing runs"] = bench.load(describe * requests, seconds)
    log(f"ExportImage, {tasks} images")
    began = time.monotonic()
    exports = [("ExportImage", {"ImageId": image, "OSSBucket": bench.bucket, "ImageFormat": "qcow2"}) for image in images]
    results[f"ExportImage, {tasks} images"] = bench.load(
        exports, 120,
        lambda: bench.ask("DescribeTasks", PageSize="1")["TotalCount"] >= tasks)
    queued = bench.waiting()
    log(f"DescribeTasks, {queued} tasks wait or run")
    results[f"DescribeTasks, {queued} tasks wait or run at its beginning"] = bench.load(describe * requests, seconds)
    left = bench.waiting()
    while bench.waiting():
        time.sleep(0.2)
    drained = time.monotonic() - began
    log("DescribeTasks, all finished")
    results["DescribeTasks, all finished"] = bench.load(describe * requests, seconds)
    finished = bench.ask("DescribeTasks", TaskStatus="Finished", PageSize="1")["TotalCount"]
    if finished != tasks:
        raise SystemExit(f"bench: {finished} of {tasks} tasks are finished")
    return dict(results=results, tasks=tasks, queued=queued, left=left, drained=drained)


def table(results):
    lines = ["| load | requests/s | p50 ms | p90 ms | p99 ms | p99.9 ms | most ms | refused | failed | anonymous MiB before, after |", "|---|---|---|---|---|---|---|---|---|---|"]
    for name, one in results.items():
        times = " | ".join(f"{one[key] / 1000:.1f}" for key in ("p50", "p90", "p99", "p999", "max"))
        lines.append(f"| {name} | {one['rate']:.0f} | {times} | {one['refused']} | {one['failed']} | {one['memory_before'] / MIB:.1f}, {one['memory_after'] / MIB:.1f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench-service", description=__doc__)
    parser.add_argument("--lathe", required=True, metavar="PATH", help="the program to measure")
    parser.add_argument("--quick", action="store_true", help="few requests: to try the script, not to measure")
    arguments = parser.parse_args()
    os.makedirs(SCRATCH, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH, prefix="service.") as directory:
        with Server(arguments.lathe, directory) as server:
            measured = measure(Bench(arguments, directory, server))
        machine = environment(Tools(arguments.lathe), {"disk": directory})
    text = "\n".join([
        f"# The service under load, {datetime.date.today()}", "", __doc__.split("\n", 2)[2].strip(), "",
        f"{CONNECTIONS} connections; client and server share the machine. Refused: answers of 400 and more; failed: no answer. Each disk has "
        "64 MiB, 4 MiB of them data.", "", table(measured["results"]), "",
        f"{measured['queued']} of the {measured['tasks']} tasks waited or ran when the last was taken, {measured['left']} after the load behind that; "
        f"all were finished {measured['drained']:.1f} s after the first was sent.", "", "## Machine and versions", "", "| | |", "|---|---|",
        *(f"| {key} | {value} |" for key, value in machine.items()), ""])
    if not arguments.quick:
        path = record_directory(os.path.join(HERE, "runs"), machine)
        with open(os.path.join(path, "service.md"), "w", encoding="utf-8") as file:
            file.write(text)
        with open(os.path.join(path, "service.json"), "w", encoding="utf-8") as file:
            json.dump({**measured, "machine": machine}, file, indent=2)
            file.write("\n")
    print(text)


if __name__ == "__main__":
    sys.exit(main())
