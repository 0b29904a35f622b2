"""Ask a real conda again what the specs of match_specs.json match; run by a Python that has conda.

    PYTHON-WITH-CONDA tests/core/conda/ask_conda.py

Writes the answers back into the file. New spellings are added to the file by hand, with any answer.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("match_specs.json")


def ask(spec: str, records: list[Any]) -> str:
    """The positions of the records that conda's spec matches; "refused" when conda does not take it."""
    from conda.models.match_spec import MatchSpec

    try:
        parsed = MatchSpec(spec)
        return " ".join(str(at) for at, record in enumerate(records) if parsed.match(record))
    except Exception:
        return "refused"


def main() -> None:
    from conda.models.records import PackageRecord

    table = json.loads(TABLE.read_text(encoding="utf-8"))
    records = [
        PackageRecord(
            name=name, version=version, build=build, build_number=number, channel="c", subdir="noarch", license="MIT",
            fn=f"{name}-{version}-{build}.conda",
        )
        for name, version, build, number in table["records"]
    ]  # fmt: skip
    table["answers"] = [[spec, ask(spec, records)] for spec, _ in table["answers"]]
    rows = {
        key: ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in table[key])
        for key in ("records", "answers")
    }
    TABLE.write_text(
        f'{{"source": {json.dumps(table["source"])},\n "records": [\n{rows["records"]}\n ],\n'
        f' "answers": [\n{rows["answers"]}\n ]}}\n',
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
