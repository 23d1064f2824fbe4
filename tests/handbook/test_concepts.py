"""The pages of concepts: every number is explained, once, and what they quote is what is computed."""

import importlib.util
import json
import re
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import pytest

from handbook.concepts import ORDER, UNITS, anchor, explained_at, named, names_in, sections, text_of
from handbook.pictures.picture import Picture
from handbook.pictures.registry import FOLDER, PICTURES
from handbook.quoted import QUOTED, Words, percent
from mahtdiag.anatomy.limit import BY_DEFINITION, READERS
from mahtdiag.anatomy.rules import RULES
from mahtdiag.diagnosis.metrics.registry import OPEN, known_metrics
from mahtdiag.schema.choices import LOSS_WEIGHTS
from mahtdiag.schema.glossary import TERMS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted((DOCS / "concepts").glob("*.md"))
NOT_EXPLAINED = {"worst", "headline", "latest"}
"""Words of the glossary that are neither a number nor made of one."""

HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LINK = re.compile(r"(?<!!)\[[^\]]+\]\((?!http)([^)#]*)(?:#([^)]+))?\)")
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")
BLOCK = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
INLINE = re.compile(r"(?<![\w\\$])\$([^\s$](?:[^$\n]*[^\s$])?)\$(?![\w$])")


def anchors(text: str) -> list[str]:
    return [anchor(heading) for heading in HEADING.findall(text)]


KNOWN = [metric.name for metric in known_metrics()]


def test_every_page_has_its_place() -> None:
    assert sorted(ORDER) == [page.stem for page in PAGES]
    assert {f"({page}.md)" for page in ORDER[1:]} == set(re.findall(r"\([\w-]+\.md\)", text_of("index")))


def test_every_number_is_explained() -> None:
    patterns = [pattern for names in named().values() for pattern in names]
    unexplained = [name for name in KNOWN if not any(fnmatchcase(name, pattern) for pattern in patterns)]
    assert unexplained == []
    terms = {term.name for term in TERMS}
    assert terms - set(patterns) == NOT_EXPLAINED
    assert [name for name in KNOWN if explained_at(name) is None] == []
    assert explained_at("sdr_mm.2.5") == "concepts/radial-error.md#success-detection-rate"


def test_every_name_is_one() -> None:
    terms = {term.name for term in TERMS}
    unknown = [
        f"{page}, {heading}: {pattern}"
        for (page, heading), names in named().items()
        for pattern in names
        if pattern not in terms
        and not pattern.startswith(tuple(OPEN))
        and not any(fnmatchcase(name, pattern) for name in KNOWN)
    ]
    assert unknown == []


def test_no_two_headings_explain_the_same_number() -> None:
    # What a unit is stands under a heading of its own.
    groups = [names for where, names in named().items() if where != UNITS]
    twice = [
        name for name in KNOWN
        if sum(any(fnmatchcase(name, pattern) for pattern in names) for names in groups) > 1
    ]  # fmt: skip
    assert twice == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_anchors_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert len(set(anchors(text))) == len(anchors(text))
    wrong = []
    for target, place in LINK.findall(text):
        file = (page.parent / target) if target else page
        if not file.is_file() or (place and place not in anchors(file.read_text(encoding="utf-8"))):
            wrong.append(f"{target}#{place}")
    assert wrong == []


def test_every_number_is_said_to_mislead_somewhere() -> None:
    bare = [
        f"{page}: {heading}"
        for page in ORDER if page != "index"
        for heading, section in sections(page).items()
        if names_in(section) and '!!! warning "When it misleads"' not in section
    ]  # fmt: skip
    assert bare == []


def test_pictures_are_there_used_and_described() -> None:
    used = [found for page in PAGES for found in PICTURE.findall(page.read_text(encoding="utf-8"))]
    files = {f"../pictures/{picture.name}.svg" for picture in PICTURES}
    assert {target for _, target in used} == files
    assert len(used) == len(files)
    assert [target for words, target in used if len(" ".join(words.split())) < 60] == []
    assert {file.name for file in FOLDER.glob("*.svg")} == {f"{picture.name}.svg" for picture in PICTURES}


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_pictures_are_small_and_their_text_is_text(picture: Picture) -> None:
    content = (FOLDER / f"{picture.name}.svg").read_bytes()
    assert len(content) <= 60_000
    root = ElementTree.fromstring(content)
    letters = [
        part for element in root.iter("{http://www.w3.org/2000/svg}text") for part in element.itertext()
    ]
    assert letters
    assert b"dc:date" not in content
    assert b"<image" not in content


def pinned(package: str) -> str:
    return next(
        line.partition("==")[2]
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if line.startswith(f"{package}==")
    )


@pytest.mark.slow
@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.name)
def test_pictures_are_as_drawn(picture: Picture) -> None:
    if matplotlib.__version__ != pinned("matplotlib"):
        pytest.skip("another matplotlib draws other files")
    assert picture.svg() == (FOLDER / f"{picture.name}.svg").read_bytes(), "run `make pictures`"


QUOTES = [(page, words) for page, functions in QUOTED.items() for words in functions]


@pytest.mark.slow
@pytest.mark.parametrize(("page", "words"), QUOTES, ids=[words.__name__ for _, words in QUOTES])
def test_quoted_numbers_are_those_that_are_computed(page: str, words: Words) -> None:
    text = " ".join(text_of(page).split())
    assert [quoted for quoted in words() if quoted not in text] == []


def test_formulas_can_be_drawn() -> None:
    pages = [re.sub(r"`[^`]+`", "", page.read_text(encoding="utf-8")) for page in PAGES]
    formulas = [
        formula for text in pages for formula in (*BLOCK.findall(text), *INLINE.findall(BLOCK.sub("", text)))
    ]
    assert len(formulas) > 60
    assert [text for text in pages if "$" in INLINE.sub("", BLOCK.sub("", text))] == []
    # Markdown takes a formula at the beginning of a line for a block.
    assert [
        line for text in pages for line in BLOCK.sub("", text).splitlines() if line.strip()[:1] == "$"
    ] == []
    balanced = [formula for formula in formulas if formula.count("{") != formula.count("}")]
    assert balanced == []
    if importlib.util.find_spec("latex2mathml") is None:
        return
    convert = importlib.import_module("latex2mathml.converter").convert
    for formula in formulas:
        drawn = convert(" ".join(formula.split()))
        assert "\\" not in "".join(ElementTree.fromstring(drawn).itertext()), formula


def test_origins_of_limits_are_those_of_the_rules() -> None:
    text = text_of("anatomy")
    rows = {
        kind: set(re.findall(r"A\d\d\d", line))
        for kind, line in re.findall(r"^\| (\w[\w ]+) \| (A.+)$", text, re.M)
    }
    origins = {rule.code: {limit.origin for limit in rule.limits} for rule in RULES}
    assert set().union(*rows.values()) == set(origins)
    assert rows["by definition"] == {code for code, of in origins.items() if of == {BY_DEFINITION}}
    assert rows["readers"] == {code for code, of in origins.items() if of == {READERS}}
    assert all(
        "AASCE" in origin
        for code in rows["beyond real spines"]
        for origin in origins[code]
        if "AP: " in origin
    )
    assert rows["source"] == {"A301"}


def run_of_samples(view: str, folder: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "mahtdiag", "evaluate", str(ROOT / f"sample_data/mahtnet-{view}.pt")]
    command += [str(ROOT / "sample_data"), "--out", view, "--overlays", "none", "--format", "json", *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def measured_on_samples(folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "mahtdiag", "anatomy", "la", "--format", "json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    content: dict[str, Any] = json.loads(done.stdout)
    return content


@pytest.mark.slow
def test_numbers_of_the_sample_sets_are_theirs(tmp_path: Path) -> None:
    ap, la = run_of_samples("ap", tmp_path, "--expected-error"), run_of_samples("la", tmp_path)
    anatomy = measured_on_samples(tmp_path)
    decoders = next(check["evidence"] for check in la["setup"] if check["check"] == "network.decode")
    soft, local, argmax = re.findall(r"[\d.]+ px", decoders)
    expected, sigma = ap["calibration"]["expected_error"], ap["calibration"]["spearman"]
    slips = {row["level"]: row for row in anatomy["measurements"] if row["name"] == "slip_percent"}
    first, fourth = slips["L1/L2"], slips["L4/L5"]
    coded = anatomy["listhesis"]["predictions"]["sensitivity"]
    for run in (ap, la):
        parts = {name: abs(run["losses"][name] * weight) for name, weight in LOSS_WEIGHTS.items()}
        assert f"{100 * parts['heatmap'] / sum(parts.values()):.1f}" == "0.0"
    said = {
        "heatmaps": (
            f"soft-argmax gives {soft}, argmax {argmax} and local {local}",
            f"(ratio {expected['ratio']:.2f})",
            f"({expected['spearman']:.2f} and {sigma:.2f})",
        ),
        "losses": (f"{percent(ap['losses']['heatmap_keypoint_share'], 1)} on the sample AP set",),
        "measurements": (
            f"{first['icc']:.2f} for slips L1/L2 that are {first['mean_absolute_error']:.1f} % off on "
            f"average, and {fourth['icc']:.2f} for L4/L5 that are {fourth['mean_absolute_error']:.1f} % off",
            f"{coded['found']} coded levels of {coded['levels']} are no proof "
            f"({100 * coded['ci95'][0]:.0f} to {percent(coded['ci95'][1])})",
        ),
    }
    for page, quoted in said.items():
        text = " ".join(text_of(page).split())
        assert [words for words in quoted if words not in text] == []
    assert round(1 / expected["ratio"]) == 4
