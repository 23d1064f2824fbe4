"""The site: it builds without a warning, every link leads somewhere, and nothing is loaded from elsewhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

from handbook import commands, hooks, numbers, rules
from mahtdiag.anatomy.findings import check_anatomy
from mahtdiag.anatomy.rules import RULES
from mahtdiag.cli.commands import COMMANDS
from mahtdiag.diagnosis.metrics.metric import GroupKind
from mahtdiag.diagnosis.metrics.registry import known_metrics
from mahtdiag.runs.tables import images_schema, keypoints_schema
from mahtdiag.schema.skeleton import AP, View

from .pages import ROOT


class Page(HTMLParser):
    """What a page links to, what it loads, and the places within it that can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in ("img", "script", "source") and "src" in given:
            self.loaded.append(given["src"])
        if tag == "link" and given.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(given.get("href", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.mark.slow
def test_every_link_leads_somewhere_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    files = [path for path in site.rglob("*.html") if path.name not in ("404.html", "report.html")]
    found = {
        path.resolve(): Page(path.read_text(encoding="utf-8")) for path in [*files, site / "report.html"]
    }
    assert len(found) > 60
    broken = []
    for path, page in found.items():
        for link in (*page.links, *page.loaded):
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "mailto"):
                assert link in page.links, f"{path.name} loads {link}"
                continue
            if parts.scheme == "data":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            there = target.is_file() and (
                not parts.fragment or target not in found or unquote(parts.fragment) in found[target].places
            )
            if not there and parts.fragment != "__skip":
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == []


@pytest.mark.slow
def test_formulas_and_bars_are_drawn(site: Path) -> None:
    for path in site.rglob("*.html"):
        if path.parent.name == "gallery":
            continue
        text = re.sub(r"<(code|script|pre)\b.*?</\1>", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert "$$" not in text, path
        assert "`" not in re.sub(r"<[^>]+>", "", text), path
    assert "\\|" not in (site / "options.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_gallery_shows_every_figure_of_its_run(site: Path) -> None:
    text = (site / "gallery.html").read_text(encoding="utf-8")
    drawn = {path.name for path in (site / "gallery").glob("*.svg")}
    assert len(drawn) >= 15
    assert {name for name in drawn if f'src="gallery/{name}"' not in text} == set()


def test_formulas_become_mathml_and_code_is_left() -> None:
    text = "`a$b$` and $x^2$, $ 5 and $ 6\n```sh\necho $HOME $x$\n```\n$$\n\\frac{1}{n}\n$$\n"
    made = hooks.with_formulas(text)
    assert made.count("<math") == 2
    assert "`a$b$` and <math" in made
    assert ", $ 5 and $ 6\n```sh\necho $HOME $x$\n```\n" in made
    assert "<mfrac>" in made
    assert "\n\n" not in made


def test_bars_within_code_part_no_cells() -> None:
    assert hooks.with_bars("| `a\\|b` | c\\|d |\n`a\\|b`") == "| `a|b` | c\\|d |\n`a\\|b`"


def test_names_of_options_are_never_parted() -> None:
    html = "<p><code>--channels 1|3</code>, <code>-q</code>, <code>a --b|c</code></p>"
    assert hooks.with_whole_options(html) == (
        '<p><code><span class="option">--channels</span> 1|<wbr>3</code>, '
        '<code><span class="option">-q</span></code>, <code>a --b|c</code></p>'
    )


def test_every_rule_has_a_page_with_a_label_that_breaks_it() -> None:
    assert {f"rules/{rule.code}.md" for rule in RULES} < set(rules.PAGES)
    # What is not a number is missing in a label, so that A603 is about predictions alone.
    assert set(rules.MISTAKES) == {rule.code for rule in RULES} - {"A603"}
    rows = np.loadtxt(next(rules.SAMPLES.glob(f"{rules.SAMPLE}*.csv")), delimiter=",")[:, :4]
    whole = rows.reshape(1, -1, 2)
    size = np.array([[753.0, 1085.0]])
    assert check_anatomy(whole, AP, image_size_px=size).codes_per_image() == ((),)
    for code, change in rules.MISTAKES.items():
        points = whole.copy()
        change(points[0])
        assert code in check_anatomy(points, AP, image_size_px=size).codes_per_image()[0], code


def test_the_page_of_a_rule_says_all_of_it() -> None:
    for rule in RULES:
        text = rules.page(rule)
        assert all(part in text for part in (rule.code, rule.title, rule.meaning, rule.formula))
        assert all(f"`{limit.key}`" in text and limit.origin in text for limit in rule.limits)


def test_every_command_has_a_page_with_its_options() -> None:
    assert list(commands.PAGES) == [f"commands/{name}.md" for name, *_ in COMMANDS]
    text = commands.page("evaluate")
    assert all(option in text for option in ("`--heatmap-sigma PX`", "`CHECKPOINT`", "`--junit FILE`"))


def test_every_number_is_listed() -> None:
    text = numbers.page()
    of_all = [metric for metric in known_metrics() if metric.group.kind is GroupKind.ALL]
    assert len(of_all) > 100
    assert [metric.name for metric in of_all if f"| `{metric.name}` |" not in text] == []
    assert "| `vertebrae." in text


def test_every_column_is_explained() -> None:
    text = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    of_images, _, of_keypoints = text.partition("### keypoints.parquet")
    for schema, part in (
        (images_schema(View.LA.skeleton), of_images),
        (keypoints_schema(View.LA.skeleton), of_keypoints),
    ):
        assert [field.name for field in schema if f"`{field.name}`" not in part] == []
        named = set(re.findall(r"`(\w+)`", part.rpartition("| --- | --- |")[2]))
        assert named - {field.name for field in schema} <= {"ok", "failed"}
