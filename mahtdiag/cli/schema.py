"""`mahtdiag schema`: the JSON Schema of run.json."""

import json

import typer


def schema_command() -> None:
    """Print the JSON Schema of run.json."""
    from mahtdiag.runs.document import json_schema

    typer.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
