"""Small records of a study's runs: what was done and found, without weights, photos or the machine.

    python docs/study/collect.py results/study docs/study/records

Of each run of the verdict its run.json is kept, and the epochs of its metrics.jsonl. Trials are
left out: what they gave is in the records of the runs of the chosen settings.
"""

import json
import shutil
import sys
from pathlib import Path

MACHINE = ("command", "working_directory", "config", "environment", "git_commit", "git_dirty")


def main(results: Path, records: Path) -> None:
    """Write the records anew."""
    shutil.rmtree(records, ignore_errors=True)
    for path in sorted(results.glob("*/run.json")):
        record = json.loads(path.read_text())
        facts = record["provenance"]
        if facts.get("tuning", {}).get("purpose") == "tuning":
            continue
        for key in MACHINE:
            facts.pop(key, None)
        for key in ("host", "system"):
            facts["hardware"].pop(key, None)
        folder = records / f"{record['name'].removeprefix('sample-')}-s{record['seed']}"
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps(record, separators=(",", ":")) + "\n")
        events = path.with_name("metrics.jsonl").read_text().splitlines(keepends=True)
        epochs = [line for line in events if '"event": "epoch"' in line]
        (folder / "metrics.jsonl").write_text("".join(epochs))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
