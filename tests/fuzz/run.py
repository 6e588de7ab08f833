#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs each fuzz target for a fixed number of executions: tests/fuzz/run.py BUILD.

From the seeds of seeds.py and with one seed of the chance, so that two runs do the same (but for what threads do in
fuzz_memory). For longer runs by hand: BUILD/tests/fuzz_NAME -max_total_time=SECONDS CORPUS SEEDS/fuzz_NAME.
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import seeds

# How often, beside the seeds, and how many bytes at most. Longest first; together more than a million executions.
RUNS = {'fuzz_memory': (200, 200), 'fuzz_path': (500_000, 200), 'fuzz_json': (240_000, 200), 'fuzz_edn': (240_000, 200),
        'fuzz_env_pages': (20_000, 1 << 17), 'fuzz_journal': (10_000, 200)}
OPTIONS = ['-seed=1', '-len_control=0', '-print_final_stats=1', '-verbosity=0', '-timeout=120',
           '-rss_limit_mb=4096']


def run(build, top, target):
    corpus = top / target
    runs, max_len = RUNS[target]
    done = subprocess.run(
        [build / 'tests' / target, f'-runs={runs + len(list(corpus.iterdir()))}', f'-max_len={max_len}', *OPTIONS,
         f'-artifact_prefix={build}/{target}-', corpus],
        capture_output=True, text=True, errors='replace', check=False, env={
            'ASAN_OPTIONS': 'detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1',
            'UBSAN_OPTIONS': 'print_stacktrace=1:halt_on_error=1', **os.environ})
    count = re.search(r'number_of_executed_units: (\d+)', done.stderr)
    return target, done.returncode, int(count[1]) if count else 0, done.stderr


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    failed = 0
    total = 0
    with tempfile.TemporaryDirectory(prefix='fuzz-') as directory:
        top = pathlib.Path(directory)
        seeds.write(top)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for target, status, count, said in pool.map(lambda name: run(build, top, name), RUNS):
                print(f'{target}: {count} executions', flush=True)
                total += count
                if status or count < RUNS[target][0]:
                    failed = 1
                    print(f'{target} ended with {status}:\n{said[-20_000:]}', flush=True)
    print(f'{total} executions in all')
    return failed


if __name__ == '__main__':
    sys.exit(main())
