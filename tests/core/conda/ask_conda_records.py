"""Ask a real conda again which records of odd_records.json it reads; run by a Python that has conda.

    PYTHON-WITH-CONDA tests/core/conda/ask_conda_records.py

Writes the answers back into the file. New rows are added to the file by hand, with any answer. A row is a field, its
value ("(absent)" for none), and what becomes of a subdir in which one record of two has it: "ok" when conda lists
both, "fewer" when it loses one of them or more, "refused" when it ends with an error.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("odd_records.json")
ABSENT = "(absent)"


def ask(document: dict[str, Any]) -> str:
    """What conda makes of a document with a-1.0 and a-2.0."""
    from conda.core.subdir_data import SubdirData
    from conda.models.channel import Channel
    from conda.models.match_spec import MatchSpec
    from conda.models.version import VersionOrder

    folder = Path(tempfile.mkdtemp())
    (folder / "noarch").mkdir()
    (folder / "noarch" / "repodata.json").write_text(json.dumps(document), encoding="utf-8")
    try:
        records = list(SubdirData(Channel(f"file://{folder}/noarch")).query(MatchSpec("a")))
        records.sort(key=lambda record: (VersionOrder(record.version), record.build_number, record.timestamp))
        for record in records:
            json.dumps(record.dump(), default=str)
            str(record), hash(record), record.package_type, record.features, record.noarch, record.channel
    except Exception:
        return "refused"
    return "ok" if sorted(record.fn for record in records) == ["a-1.0-0.conda", "a-2.0-0.conda"] else "fewer"


def main() -> None:
    os.environ["CONDA_PKGS_DIRS"] = tempfile.mkdtemp()
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    good = table["record"]
    for row in table["answers"]:
        odd = {key: value for key, value in (good | {row[0]: row[1]}).items() if value != ABSENT}
        records = {"a-1.0-0.conda": odd, "a-2.0-0.conda": good | {"version": "2.0"}}
        row[2] = ask({"info": {"subdir": "noarch"}, "packages": {}, "packages.conda": records})
    rows = ",\n".join("  " + json.dumps(row) for row in table["answers"])
    TABLE.write_text(
        f'{{"source": {json.dumps(table["source"])},\n "record": {json.dumps(good)},\n "answers": [\n{rows}\n ]}}\n',
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
