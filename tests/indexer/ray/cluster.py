"""`python -m tests.indexer.ray.cluster`: a Ray cluster of two CPUs that lives until stdin is closed.

Its address is the only line on stdout.
"""

import os
import sys

OBJECT_STORE_BYTES = 200 << 20

if __name__ == "__main__":
    os.environ.update(
        {
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
            "RAY_idle_worker_killing_time_threshold_ms": "600000",  # the next run takes them over
            "RAY_worker_niceness": "0",  # or its workers wait for all the other tests
        }
    )
    import ray

    ray.init("local", num_cpus=2, object_store_memory=OBJECT_STORE_BYTES, include_dashboard=False, log_to_driver=False)
    print(ray.get_runtime_context().gcs_address, flush=True)
    sys.stdin.read()
    ray.shutdown()
