"""Tables with a title and a note."""

from __future__ import annotations

from dataclasses import dataclass

from reporting import table


@dataclass(frozen=True)
class Table:
    title: str
    head: list[str]
    rows: list[list[str]]
    note: str = ""

    def markdown(self) -> str:
        body = "\n".join(table(self.head, self.rows))
        return f"## {self.title}\n\n{body}\n" + (f"\n{self.note}\n" if self.note else "")
