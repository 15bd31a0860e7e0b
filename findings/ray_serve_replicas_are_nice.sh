#!/usr/bin/env bash
# Ray Serve runs its replicas at niceness 15, where other programs of the machine take nearly all of their processor.
# Ray starts every worker at niceness 15 (RAY_worker_niceness), so that batch work yields to Ray's own head; Serve's
# replicas are workers, too. Beside as many busy ordinary programs as there are cores, a replica gets about a
# twentieth of a core instead of half of one.
# Why it matters: Serve is there to answer in time. A service that shares its machine with anything else that computes
# (a build, a backup, the load generator of one's own benchmark) becomes ten to twenty times slower, where the same
# function behind another server would be half as fast.
# The remedy is an option of the replica: ray_actor_options={"runtime_env": {"env_vars": {"RAY_worker_niceness": "0"}}}.
# Seen with ray 2.60.0 on Linux.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "ray[serve]==2.60.0"
cd "$folder"
cat >serve.py <<'PYTHON'
import logging
import os
import statistics
import subprocess
import sys
import time

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
import ray
from ray import serve

quiet = {"log_level": "ERROR", "enable_access_log": False}
logging.getLogger("ray.serve").setLevel(logging.ERROR)
ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
serve.start(proxy_location="Disabled", logging_config=quiet)


class Work:
    def __call__(self):
        """Compute for 50 ms of processor time; return how long it took by the clock, in ms, and the niceness."""
        began_s, until_s = time.perf_counter(), time.thread_time() + 0.05
        while time.thread_time() < until_s:
            pass
        return 1000 * (time.perf_counter() - began_s), os.nice(0)


def measured(name, **options):
    deployment = serve.deployment(name=name, ray_actor_options={"num_cpus": 1, **options}, logging_config=quiet)
    handle = serve.run(deployment(Work).bind(), name=name, route_prefix=None)
    handle.remote().result()
    cores = len(os.sched_getaffinity(0))
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(cores)]
    try:
        time.sleep(1)
        found = [handle.remote().result() for _ in range(8)]
    finally:
        for each in busy:
            each.kill()
    serve.delete(name)
    return statistics.median(ms for ms, _ in found), found[0][1]


default_ms, default_nice = measured("default")
plain_ms, plain_nice = measured("plain", runtime_env={"env_vars": {"RAY_worker_niceness": "0"}})
print("ray", ray.__version__)
print("Most expect: 50 ms of work take about 100 ms where each core has one other busy program.")
print(f"Seen: {default_ms:.0f} ms, at niceness {default_nice}; with the option {plain_ms:.0f} ms, at niceness {plain_nice}")
serve.shutdown()
ray.shutdown()
sys.exit(0 if default_nice - plain_nice == 15 and default_ms > 3 * plain_ms else 1)
PYTHON
venv/bin/python serve.py 2>&1 | grep -v "raylet"
