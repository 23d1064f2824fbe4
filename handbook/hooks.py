"""Hooks of MkDocs: pages from the registries, chapters in the navigation, formulas, names of options."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from handbook import api, commands, concepts, gallery, numbers, rules

ROOT: Final = Path(__file__).parents[1]
# Formulas stand between dollars; code, in which a dollar means something else, is left as it is.
_CODE_OR_FORMULA: Final = re.compile(
    r"(?P<code>^(?P<fence>`{3,}|~{3,}).*?^(?P=fence)[^\n]*$|`+[^`]+`+)"
    r"|\$\$(?P<block>.+?)\$\$|(?<![\w\\$])\$(?P<inline>[^\s$](?:[^$\n]*[^\s$])?)\$(?![\w$])",
    re.MULTILINE | re.DOTALL,
)
_CODE_IN_ROW: Final = re.compile(r"`[^`\n]+`")
_OPTION: Final = re.compile(r"(?<=<code>)(-{1,2}[\w-]+)([^<]*)(?=</code>)")
# Documents of the root that are pages of the site, too.
FROM_ROOT: Final = ("CONTRIBUTING", "SECURITY", "CHANGELOG")
_BESIDE_DOCS: Final = re.compile(r"\]\((docs/|sample_data/|training/|LICENSE)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Chapters whose pages are listed by what there is."""
    listed = {
        "CONCEPTS": [f"concepts/{page}.md" for page in concepts.ORDER],
        "COMMANDS": [*commands.PAGES],
        "RULES": [*rules.PAGES],
    }
    config.nav = filled(config.nav or [], listed)
    return config


def filled(part: object, listed: dict[str, list[str]]) -> list[object]:
    """The navigation with the pages of each chapter that is only named."""
    assert isinstance(part, list)
    done: list[object] = []
    for entry in part:
        if not isinstance(entry, dict):
            done.append(entry)
            continue
        ((title, at),) = entry.items()
        pages = listed.get(at) if isinstance(at, str) else None
        if pages is not None:
            done.append({title: list(pages)})
        else:
            done.append({title: filled(at, listed) if isinstance(at, list) else at})
    return done


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds what is made from the registries, from the sample run, and from the files at the root."""
    made: dict[str, Callable[[], str | bytes]] = {
        **rules.PAGES,
        **rules.PICTURES,
        **commands.PAGES,
        "numbers.md": numbers.page,
        "api.md": api.page,
        **{f"{name.lower()}.md": partial(from_root, f"{name}.md") for name in FROM_ROOT},
    }
    for name, content in (*((name, make()) for name, make in made.items()), *gallery.files()):
        files.append(File.generated(config, name, content=content))
    return files


def from_root(name: str) -> str:
    """A document of the root, with its links as they are within `docs/`."""
    text = (ROOT / name).read_text(encoding="utf-8")
    for page in FROM_ROOT:
        text = text.replace(f"]({page}.md", f"]({page.lower()}.md")
    return _BESIDE_DOCS.sub(lambda link: "](" + ("" if link[1] == "docs/" else f"../{link[1]}"), text)


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Formulas become MathML, which browsers draw; links to the root lead to the site's own pages."""
    for name in FROM_ROOT:
        markdown = markdown.replace(f"](../{name}.md", f"]({name.lower()}.md")
    return with_formulas(with_bars(markdown))


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lines break behind a bar between choices, and never within the name of an option."""
    return with_whole_options(html)


def with_whole_options(html: str) -> str:
    """`--channels` of `<code>--channels 1|3</code>` in a span of its own, and a break behind the bar."""
    return _OPTION.sub(
        lambda code: f'<span class="option">{code[1]}</span>{code[2].replace("|", "|<wbr>")}', html
    )


def with_bars(markdown: str) -> str:
    """`a\\|b` in a table is `a|b`: here code parts no cells, and would show the backslash."""
    lines = [
        _CODE_IN_ROW.sub(lambda code: code[0].replace("\\|", "|"), line) if line.startswith("|") else line
        for line in markdown.split("\n")
    ]
    return "\n".join(lines)


def with_formulas(markdown: str) -> str:
    """`$…$` and `$$…$$` as MathML; code is left alone."""

    def drawn(found: re.Match[str]) -> str:
        if found["code"] is not None:
            return found[0]
        if found["block"] is not None:
            return f'<div class="formula">{one_line(found["block"], "block")}</div>'
        return one_line(found["inline"], "inline")

    return _CODE_OR_FORMULA.sub(drawn, markdown)


def one_line(latex: str, display: str) -> str:
    """MathML in one line: a blank one would end it."""
    return " ".join(str(convert(" ".join(latex.split()), display=display)).split())
