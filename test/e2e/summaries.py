# SPDX-License-Identifier: BSD-2-Clause
"""Compares the summaries of runs and reports."""

# Only the run counts ICMP errors; `written` counts records in a run, but packets in a file.
ASIDE = {"icmp_errors", "written"}


def differences(run, told, path=""):
    """Yields the places where the report differs from the run."""
    if isinstance(run, dict):
        for key, value in run.items():
            if key not in ASIDE:
                yield from differences(value, told.get(key) if isinstance(told, dict) else None, f"{path}.{key}")
    elif isinstance(run, list) and isinstance(told, list) and len(run) == len(told):
        for number, pair in enumerate(zip(run, told)):
            yield from differences(*pair, f"{path}[{number}]")
    elif run != told:
        yield f"{path}: the run says {run}, the report {told}"
