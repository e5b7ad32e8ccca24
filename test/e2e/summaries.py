# SPDX-License-Identifier: BSD-2-Clause
"""Summaries of runs and reports, held against each other."""

# What only the run can know, or the file only: records written are packets there.
ASIDE = {"icmp_errors", "written"}


def differences(run, told, path=""):
    """Places where the report says something else than the run did."""
    if isinstance(run, dict):
        for key, value in run.items():
            if key not in ASIDE:
                yield from differences(value, told.get(key) if isinstance(told, dict) else None, f"{path}.{key}")
    elif isinstance(run, list) and isinstance(told, list) and len(run) == len(told):
        for number, pair in enumerate(zip(run, told)):
            yield from differences(*pair, f"{path}[{number}]")
    elif run != told:
        yield f"{path}: the run says {run}, the report {told}"
