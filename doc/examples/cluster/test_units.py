# SPDX-License-Identifier: BSD-2-Clause
"""pytest over the units of a campaign: each is a test, by its id. `pytest -n 4` (pytest-xdist) runs four at a time.

$CAMPAIGN is the campaign's file, $RESULTS the folder of the results.
"""

import json
import os
import pathlib
import subprocess

import pytest

CAMPAIGN, RESULTS = os.environ.get("CAMPAIGN", "campaign.ini"), os.environ.get("RESULTS", "results")


def deadzone(*words):
    return subprocess.run(["deadzone", "campaign", "-c", CAMPAIGN, *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("unit", deadzone("--list").stdout.split())
def test_unit(unit):
    done = deadzone("-o", RESULTS, "--unit", unit)
    assert done.returncode == 0, done.stderr  # it has an outcome
    result = pathlib.Path(RESULTS, "units", unit, "result.json")
    if result.exists():  # a case: searches and references have several
        outcome = json.loads(result.read_text())
        if outcome["outcome"] == "skip":
            pytest.skip(outcome["reason"])
        assert outcome["outcome"] == "pass", outcome["reason"]
