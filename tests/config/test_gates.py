"""`[gates]`: what is read, and what is refused with the nearest valid name."""

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mahtdiag.config.gates import GateSettings, read_gates
from mahtdiag.config.project_file import parse_settings
from mahtdiag.diagnosis.gates import BaselineGates, Bound, Gate, Margin
from mahtdiag.diagnosis.metrics.metric import Better, IntervalKind
from mahtdiag.diagnosis.metrics.registry import known_metrics
from mahtdiag.schema.skeleton import View

from .problems import problems_of


def gates_of(table: Mapping[str, object]) -> GateSettings:
    """What a table without a fault demands."""
    settings = parse_settings({"gates": dict(table)}, "x.toml").gates
    assert settings == read_gates(table)[0]
    return settings


def problem_of(table: object) -> str:
    """The only thing that is wrong with a table."""
    (problem,) = problems_of(lambda: parse_settings({"gates": table}, "x.toml"))
    return problem.removeprefix("x.toml: ")


@pytest.mark.parametrize(
    ("text", "comparison", "limit", "bound"),
    [
        ("<= 4.0", "<=", 4.0, Bound.ESTIMATE),
        ("<=4", "<=", 4.0, Bound.ESTIMATE),
        ("  >= 1e-3 ", ">=", 0.001, Bound.ESTIMATE),
        ("< .5", "<", 0.5, Bound.ESTIMATE),
        ("> 10.", ">", 10.0, Bound.ESTIMATE),
        ("== 0", "==", 0.0, Bound.ESTIMATE),
        ("upper <= 4", "<=", 4.0, Bound.UPPER),
        ("lower>=+2.5", ">=", 2.5, Bound.LOWER),
        ("lower <= 4", "<=", 4.0, Bound.LOWER),
    ],
)
def test_limits(text: str, comparison: str, limit: float, bound: Bound) -> None:
    assert gates_of({"radial_error_px.mean": text}) == GateSettings(
        (Gate("radial_error_px.mean", comparison, limit, bound),)
    )


def test_several_limits_and_several_views_in_the_order_of_the_file() -> None:
    settings = gates_of(
        {
            "LA": {"sdr_px.8": ">= 0.8"},
            "calibration.sigma_scale": [">= 0.8", "<= 1.25"],
            "AP": {"sdr_px.8": ">= 0.9", "vertebrae.L5.radial_error_px.mean": "<= 5"},
        }
    )
    assert settings.limits == (
        Gate("calibration.sigma_scale", ">=", 0.8),
        Gate("calibration.sigma_scale", "<=", 1.25),
        Gate("sdr_px.8", ">=", 0.9, view=View.AP),
        Gate("vertebrae.L5.radial_error_px.mean", "<=", 5.0, view=View.AP),
        Gate("sdr_px.8", ">=", 0.8, view=View.LA),
    )


def test_a_name_without_quotes_is_the_same_name() -> None:
    nested = {"sdr_mm": {"2": {"5": ">= 0.5"}, "4": ">= 0.9"}, "AP": {"images": {"failed": "<= 0"}}}
    quoted = {"sdr_mm.2.5": ">= 0.5", "sdr_mm.4": ">= 0.9", "AP": {"images.failed": "<= 0"}}
    assert gates_of(nested) == gates_of(quoted)


def test_every_known_number_has_limits_that_make_sense_and_limits_that_do_not() -> None:
    for metric in known_metrics():
        for name in (metric.name, f"metrics.{metric.name}"):
            inside = metric.most if metric.most is not None else 1.0
            assert len(gates_of({name: f"<= {inside}"}).limits) == 1
            bound = read_gates({name: f"upper <= {inside}"})[1]
            assert bool(bound) is (metric.interval is IntervalKind.NONE)
        if metric.least is not None:
            assert "can never be kept" in problem_of({metric.name: f"<= {metric.least - 0.001}"})
            assert "can never be kept" in problem_of({metric.name: f"< {metric.least}"})
            assert "can never fail" in problem_of({metric.name: f">= {metric.least - 1}"})
            assert "can never be kept" in problem_of({metric.name: f"== {metric.least - 1}"})
        if metric.most is not None:
            assert "can never be kept" in problem_of({metric.name: f">= {metric.most + 0.001}"})
            assert "can never be kept" in problem_of({metric.name: f"> {metric.most}"})
            assert "can never fail" in problem_of({metric.name: f"<= {metric.most + 1}"})


@given(st.sampled_from(["<=", "<", ">=", ">", "=="]), st.floats(-3, 3))
def test_a_share_is_refused_exactly_where_no_share_or_every_share_keeps_the_limit(
    comparison: str, limit: float
) -> None:
    gate = Gate("sdr_px.8", comparison, float(f"{limit:.4f}"))
    # Trivial ends (">= 0", "<= 1") are let through: they demand that there is a number.
    kept = [gate.keeps(share) for share in (0.0, 1e-9, 0.25, 0.5, 0.75, 1 - 1e-9, 1.0, gate.limit)
            if 0 <= share <= 1]  # fmt: skip
    ends = (comparison, gate.limit) in ((">=", 0.0), ("<=", 1.0))
    problems = read_gates({gate.metric: f"{comparison} {gate.limit}"})[1]
    assert bool(problems) == (not any(kept) or (all(kept) and not ends))


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            {"radial_eror_px.mean": "<= 4"},
            'gates."radial_eror_px.mean" = "<= 4": no number of a run has this name; did you mean '
            "radial_error_px.mean?",
        ),
        (
            {"AP": {"vertebrae.L6.sdr_px.8": ">= 0.4"}},
            'gates.AP."vertebrae.L6.sdr_px.8" = ">= 0.4": no number of a run has this name; did you mean '
            "vertebrae.L5.sdr_px.8?",
        ),
        (
            {"radial_error_px": "<= 4"},
            'gates."radial_error_px" = "<= 4": names no single number; did you mean radial_error_px.mean?',
        ),
        (
            {"größe": "<= 4"},
            'gates."größe" = "<= 4": no number of a run has this name; its numbers are those of run.json',
        ),
        (
            {"sdr_px.8": ">= 95"},
            'gates."sdr_px.8" = ">= 95": can never be kept: sdr_px.8 is a share from 0 to 1, and 95 % is '
            "written 0.95",
        ),
        (
            {"anatomy.images_with_violations": "<= 2"},
            'gates."anatomy.images_with_violations" = "<= 2": can never fail: '
            "anatomy.images_with_violations is a share from 0 to 1, and 95 % is written 0.95",
        ),
        (
            {"radial_error_mm.mean": "<= -1"},
            'gates."radial_error_mm.mean" = "<= -1": can never be kept: radial_error_mm.mean is never below '
            "0",
        ),
        (
            {"calibration.spearman": ">= 2"},
            'gates."calibration.spearman" = ">= 2": can never be kept: calibration.spearman lies between -1 '
            "and 1",
        ),
        (
            {"images.failed": "upper <= 1"},
            'gates."images.failed" = "upper <= 1": images.failed has no confidence interval; limit the '
            "number itself",
        ),
        (
            {"AP": {"vertebrae.S1.radial_error_px.mean": "<= 4"}},
            'gates.AP."vertebrae.S1.radial_error_px.mean" = "<= 4": AP images have no S1; they have L1, L2, '
            "L3, L4, L5; [data] levels says where they are others",
        ),
        (
            {"calibration.nll": "<= 1e999"},
            'gates."calibration.nll" = "<= 1e999": the limit is not a finite number',
        ),
        ("<= 4", 'gates = "<= 4": expected a table, [gates]'),
        (["<= 4"], "gates = ['<= 4']: expected a table, [gates]"),
        (True, "gates = true: expected a table, [gates]"),
        ({"AP": "<= 4"}, 'gates.AP = "<= 4": expected a table, [gates.AP]'),
        ({"LA": [{}]}, "gates.LA = [{}]: expected a table, [gates.LA]"),
    ],
)
def test_what_cannot_be_obeyed(table: object, expected: str) -> None:
    assert problem_of(table) == expected


@pytest.mark.parametrize(
    "value",
    ["4.0", "<= four", "=< 4", "<= nan", "<= inf", "<= 4 px", "", "<=", "uper <= 4", "<= 4 <= 5", "<= 0x10",
     4, 4.0, True, [], {}, [4], [["<= 4"]], math.nan],
)  # fmt: skip
def test_a_limit_is_a_comparison_with_a_number(value: object) -> None:
    problem = problem_of({"images.failed": value})
    assert problem.startswith('gates."images.failed" = ')
    assert problem.endswith(
        'expected <=, >=, <, > or == and a number, as in "<= 4.0", "upper <= 4.0" or "lower >= 0.9"'
    )


def test_numbers_of_open_sections_are_left_to_the_run() -> None:
    names = ("calibration.groups.vertebra.L5.mace", "ambiguity.all.two_peaks", "settings.heatmap_sigma")
    assert [gate.metric for gate in gates_of(dict.fromkeys(names, "<= 4")).limits] == list(names)


@pytest.mark.parametrize(
    ("metric", "text", "margin"),
    [
        ("radial_error_px.mean", "+0.3", (0.3, False)),
        ("radial_error_px.mean", "0.3", (0.3, False)),
        ("radial_error_px.mean", "+5 %", (0.05, True)),
        ("radial_error_px.mean", " 5% ", (0.05, True)),
        ("radial_error_px.mean", "0", (0.0, False)),
        ("sdr_px.8", "-0.02", (0.02, False)),
        ("sdr_px.8", "−2 %", (0.02, True)),
        ("sdr_px.8", "0.02", (0.02, False)),
        ("metrics.radial_error_px.mean", "+0.3", (0.3, False)),
    ],
)
def test_margins(metric: str, text: str, margin: tuple[float, bool]) -> None:
    baseline = gates_of({"baseline": {"run": "runs/good", metric: text}}).baseline
    assert baseline == BaselineGates("runs/good", (Margin(metric.removeprefix("metrics."), *margin),))


def test_margins_stand_beside_limits() -> None:
    settings = gates_of({"images.failed": "<= 0", "baseline": {"run": "r", "losses": {"total": "1"}}})
    assert [gate.metric for gate in settings.limits] == ["images.failed"]
    assert settings.baseline == BaselineGates("r", (Margin("losses.total", 1.0, False),))


def test_a_sign_points_to_what_is_worse() -> None:
    for metric in known_metrics():
        accepted = {
            sign: not read_gates({"baseline": {"run": "r", metric.name: f"{sign}0.1"}})[1] for sign in "+-"
        }
        assert accepted == {"+": metric.better is Better.LOWER, "-": metric.better is Better.HIGHER}


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"radial_error_px.mean": "+1"}, 'gates.baseline: needs run = "FOLDER", the run to compare with'),
        ({"run": 3, "losses.total": "+1"}, "gates.baseline.run = 3: expected the path of a run folder"),
        ({"run": " ", "losses.total": "+1"}, 'gates.baseline.run = " ": expected the path of a run folder'),
        (
            {"run": "r"},
            'gates.baseline: names no metric; add one, as in "radial_error_px.mean" = "+0.3"',
        ),
        (
            {"run": "r", "sdr_px.8": "+0.02"},
            'gates.baseline."sdr_px.8" = "+0.02": more of it is better; write how far it may fall, as in '
            '"-0.02" or "-2 %"',
        ),
        (
            {"run": "r", "radial_error_px.mean": "-0.3"},
            'gates.baseline."radial_error_px.mean" = "-0.3": less of it is better; write how far it may '
            'rise, as in "+0.3" or "+5 %"',
        ),
        (
            {"run": "r", "calibration.sigma_scale": "0.1"},
            'gates.baseline."calibration.sigma_scale" = "0.1": neither more nor less of '
            "calibration.sigma_scale is better; set limits to it in [gates]",
        ),
        (
            {"run": "r", "radial_error_px.meen": "0.1"},
            'gates.baseline."radial_error_px.meen" = "0.1": no number of a run has this name; did you mean '
            "radial_error_px.mean?",
        ),
        *(
            (
                {"run": "r", "losses.total": value},
                f'gates.baseline."losses.total" = {shown}: expected how much worse it may be, as in "+0.3" '
                'or "+5 %"',
            )
            for value, shown in (
                (0.3, "0.3"), ("<= 0.3", '"<= 0.3"'), ("1e999", '"1e999"'), ("5 px", '"5 px"'),
                ("nan", '"nan"'), ([], "[]"), (False, "false"),
            )
        ),
    ],
)  # fmt: skip
def test_a_baseline_that_cannot_be_obeyed(table: object, expected: str) -> None:
    assert problem_of({"baseline": table}) == expected


@pytest.mark.parametrize(
    ("metric", "margin", "reason"),
    [
        ("sdr_px.4", "-2", "sdr_px.4 is a share from 0 to 1, and 95 % is written 0.95"),
        ("sdr_px.4", "1", "sdr_px.4 is a share from 0 to 1, and 95 % is written 0.95"),
        ("sdr_px.4", "-100 %", "sdr_px.4 cannot fall by more than all of it"),
        ("sdr_px.4", "-200 %", "sdr_px.4 cannot fall by more than all of it"),
        (
            "anatomy.images_with_violations",
            "+150",
            "anatomy.images_with_violations is a share from 0 to 1, and 95 % is written 0.95",
        ),
        ("calibration.spearman", "-2", "calibration.spearman lies between -1 and 1"),
    ],
)
def test_a_margin_that_can_never_be_exceeded(metric: str, margin: str, reason: str) -> None:
    """A forgotten per cent sign must not switch a gate off."""
    table = {"baseline": {"run": "r", metric: margin}}
    assert problem_of(table) == f'gates.baseline."{metric}" = "{margin}": can never fail: {reason}'


@pytest.mark.parametrize(
    ("metric", "margin"),
    [
        ("sdr_px.4", "-0.99"), ("sdr_px.4", "-99 %"), ("radial_error_px.mean", "+300 %"),
        ("anatomy.images_with_violations", "+200 %"), ("anatomy.images_with_violations", "+0.5"),
        ("calibration.spearman", "-1.9"), ("radial_error_px.mean", "+1000"), ("calibration.nll", "+3"),
    ],
)  # fmt: skip
def test_a_margin_that_can_be_exceeded(metric: str, margin: str) -> None:
    assert gates_of({"baseline": {"run": "r", metric: margin}}).baseline is not None


@pytest.mark.parametrize("run", ["latest", "runs/latest", " latest "])
def test_the_newest_run_is_no_baseline(run: str) -> None:
    assert problem_of({"baseline": {"run": run, "sdr_px.4": "-0.1"}}) == (
        f'gates.baseline.run = "{run}": the newest run is soon the one that is judged; name a run that stays'
    )


def test_a_misspelt_run_of_a_baseline() -> None:
    assert problem_of({"baseline": {"runs": "r", "sdr_px.4": "-0.1"}}) == (
        "gates.baseline: unknown key runs; did you mean run?"
    )


@pytest.mark.parametrize(
    ("name", "meant"), [("ap", "AP"), ("la", "LA"), ("Baseline", "baseline"), ("baselin", "baseline")]
)
def test_a_misspelt_table(name: str, meant: str) -> None:
    assert problem_of({name: {"sdr_px.4": ">= 0.9"}}) == (
        f"unknown table [gates.{name}]; did you mean [gates.{meant}]?"
    )


def test_limits_that_exclude_each_other() -> None:
    assert problem_of({"calibration.sigma_scale": [">= 1.25", "<= 0.8"]}) == (
        'gates."calibration.sigma_scale": >= 1.25 and <= 0.8 can never both be kept'
    )
    assert problem_of({"LA": {"sdr_px.8": ["> 0.9", "< 0.8", "< 0.95"]}}) == (
        'gates.LA."sdr_px.8": > 0.9 and < 0.8 can never both be kept'
    )
    table = {"radial_error_px.mean": ["lower >= 5", "upper <= 4"], "sdr_px.8": [">= 0.8", "<= 0.8"]}
    assert len(gates_of(table).limits) == 4


def test_a_baseline_is_a_table() -> None:
    assert problem_of({"baseline": "r"}) == 'gates.baseline = "r": expected a table, [gates.baseline]'


def test_all_problems_at_once_with_those_of_the_other_tables() -> None:
    table = {"model": {"chanels": 1}, "gates": {"a": "<= 1", "sdr_px.8": ">= 9", "baseline": 3}}
    problems = problems_of(lambda: parse_settings(table, "x.toml"))
    assert [problem.split()[1] for problem in problems] == [
        "unknown", 'gates."a"', 'gates."sdr_px.8"', "gates.baseline",
    ]  # fmt: skip


def test_vertebrae_are_those_of_the_levels_that_the_file_says() -> None:
    table = {
        "AP": {"vertebrae.T12.radial_error_px.mean": "<= 4", "regions.thoracic.radial_error_px.mean": "<= 4"}
    }
    settings, problems = read_gates(table, "T10-L2")
    assert problems == ()
    assert [gate.metric for gate in settings.limits] == list(table["AP"])
    (problem,) = read_gates({"AP": {"vertebrae.L3.radial_error_px.mean": "<= 4"}}, "T10-L2")[1]
    assert problem.endswith("AP images have no L3; they have T10, T11, T12, L1, L2")
    # Levels that are none are told where they stand.
    assert read_gates(table, "L5-T1")[1] == ()
