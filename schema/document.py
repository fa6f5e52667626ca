"""The universal schema and its codes as Markdown, made from their one definition."""

from schema.codes import sections
from schema.tables import TABLES, VERSION, Column, Table


def tables() -> str:
    """Every table with its columns."""
    return "\n".join(
        [f"This is version {VERSION} of the universal schema.", *map(_table, TABLES.values())]
    )


def codes() -> str:
    """Every code of a delivery."""
    lines = []
    for title, section in sections():
        lines += [
            f"\n### {title}\n",
            "| code | effect | severity | means | what to do |",
            "|---|---|---|---|---|",
        ]
        for code in section:
            effect = f"{code.effect}, alert" if code.alert else code.effect
            means = f"{code.means}; {code.beyond}" if code.beyond else code.means
            lines.append(f"| `{code.name}` | {effect} | {code.severity} | {means} | {code.fix} |")
    return "\n".join(lines)


def _table(table: Table) -> str:
    key = f" `{table.key}` is unique." if table.key else ""
    return "\n".join(
        [
            f"\n### {table.name}\n",
            f"{table.meaning}{key}\n",
            "| column | kind | | unit | values | if empty | meaning |",
            "|---|---|---|---|---|---|---|",
            *map(_column, table.columns),
        ]
    )


def _column(column: Column) -> str:
    required = "required" if column.required else ""
    values = ", ".join(f"`{choice}`" for choice in column.choices) or _range(column)
    default = "" if column.default is None else f"`{column.default}`"
    meaning = column.meaning
    if column.points_to:
        meaning += f"; one of the {column.points_to}"
    cells = (f"`{column.name}`", column.kind, required, column.unit, values, default, meaning)
    return f"| {' | '.join(cells)} |"


def _range(column: Column) -> str:
    if column.least is None or column.most is None:
        return ""
    whole = ", whole" if column.whole else ""
    return f"{column.least:,.15g} to {column.most:,.15g}{whole}"
