"""Counts the instructions of each part under valgrind and holds them against thresholds.json; `scripts/bench-parts` calls this.

Wall time on a shared machine can't be held to anything; the number of instructions can, to about a hundredth. Each part is run
once and then three times over: the difference is two runs of it, without what it takes to start.
"""

import argparse
import concurrent.futures
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
THRESHOLDS = os.path.join(HERE, "thresholds.json")
# More by this much fails: other versions of the C library and of valgrind move the count by some hundredths, and what a
# process does at its start varies by a few thousand.
TOLERANCE = 0.10
SLACK = 5000


def parts(program):
    """The names of the parts, as the program itself lists them."""
    command = [program, "--iterations", "1", "--warmup-iterations", "0", "--format", "json", "--quiet"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [part["name"] for part in json.loads(text)["benchmarks"]]


def instructions(program, part, runs):
    # Commas and spaces mean nothing in a regular expression.
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program, "--filter", f"{part}$",
               "--iterations", str(runs), "--warmup-iterations", "0", "--format", "none", "--quiet"]
    # Swift seeds its hashing anew in every process, by which two runs would differ in a little.
    environment = dict(os.environ, SWIFT_DETERMINISTIC_HASHING="1")
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or not found:
        raise SystemExit(f"check: '{part}' did not run under valgrind: {done.stderr[-2000:]}")
    return int(found[1])


def measure(program, part):
    return (instructions(program, part, 3) - instructions(program, part, 1)) // 2


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench-parts", description=__doc__)
    parser.add_argument("--program", required=True, help="the release build of the parts")
    parser.add_argument("--write", action="store_true", help="take what is found for the new thresholds")
    arguments = parser.parse_args()
    thresholds = {}
    if os.path.exists(THRESHOLDS):
        with open(THRESHOLDS, encoding="utf-8") as file:
            thresholds = json.load(file)
    with tempfile.TemporaryDirectory() as directory:
        # valgrind 3.19 can't read the debugging information of Swift 6, and ends.
        program = os.path.join(directory, "parts")
        subprocess.run(["strip", "--strip-debug", "-o", program, arguments.program], check=True)
        return check(program, thresholds, arguments.write)


def check(program, thresholds, write):
    names = parts(program)
    found = {}
    failures = []
    print(f"{'part':<52} {'instructions':>13} {'threshold':>13} {'ratio':>6}")
    # Instructions stay the same whatever else goes on: a part for each processor at a time.
    pool = concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count())
    for name, count in zip(names, pool.map(lambda name: measure(program, name), names)):
        found[name] = count
        threshold = thresholds.get(name)
        if threshold is None:
            print(f"{name:<52} {count:>13} {'-':>13}")
            failures.append(f"{name}: there is no threshold")
            continue
        ratio = count / max(1, threshold)
        print(f"{name:<52} {count:>13} {threshold:>13} {ratio:>6.2f}", flush=True)
        if count > threshold * (1 + TOLERANCE) + SLACK:
            failures.append(f"{name}: {count} instructions, {(ratio - 1) * 100:.0f} % more than {threshold}")
    failures += [f"{name}: there is no such part any more" for name in thresholds if name not in names]
    if write:
        with open(THRESHOLDS, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=2)
            file.write("\n")
        print(f"wrote {os.path.relpath(THRESHOLDS)}")
        return 0
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
