"""`mahtdiag schema`: the JSON Schema of run.json."""

import json

from mahtdiag.cli.output import write_text


def schema_command() -> None:
    """Print the JSON Schema of run.json."""
    from mahtdiag.runs.document import json_schema

    write_text(json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n")
