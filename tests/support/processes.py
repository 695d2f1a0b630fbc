"""The environment of processes that tests start."""

import os


def unmeasured() -> dict[str, str]:
    """This process's environment, without what makes Python processes measure their coverage.

    For servers that are not ours, and for whole programs in tests from end to end: what they run is measured elsewhere,
    and measuring takes a third of their time.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
