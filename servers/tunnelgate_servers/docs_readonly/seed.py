"""Sample documents: runbooks, handbooks, postmortems and notes on APIs, of a company that does not exist.

Runbooks are Markdown, handbooks reStructuredText, postmortems HTML and the notes plain text. The same seed,
day and count give the same files with the same times, whatever the machine.
"""

import os
from datetime import UTC, date, datetime, time
from pathlib import Path
from random import Random

from tunnelgate_servers.docs_readonly.seed_documents import DOCUMENTS, Facts


def write_documents(folder: Path, *, seed: int, until: date, count: int = 300) -> int:
    """Write `count` documents below a folder, the newest of them changed on `until`; return how many."""
    taken: set[str] = set()
    for number in range(count):
        facts = Facts.drawn(Random(f"{seed}/{number}"), until, number)  # noqa: S311 - samples, no secrets
        name, content = DOCUMENTS[number % len(DOCUMENTS)](facts)
        file = folder / name
        if name in taken:
            file = file.with_stem(f"{file.stem}-{number}")
        taken.add(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, "utf-8", newline="\n")
        changed = datetime.combine(facts.day, time(9), UTC).timestamp()
        os.utime(file, (changed, changed))
    return count
