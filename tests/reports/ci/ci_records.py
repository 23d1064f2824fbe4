"""Records of commands, plain and hostile."""

from datetime import UTC, datetime

from mahtdiag.diagnosis.gates import Bound, Gate, GateKind, GateResult
from mahtdiag.diagnosis.worst_images import RankedImage, WorstImages
from mahtdiag.reports.ci.record import CiRecord, GateCase, NumberRow
from mahtdiag.schema.records import Failure
from mahtdiag.schema.skeleton import View

STARTED = datetime(2026, 11, 23, 10, 15, 0, tzinfo=UTC)
HOSTILE = (
    'a<b>&"c|d.png',
    "line\nbreak\r\n::error::x.png",
    "]]><![CDATA[.png",
    "`code` *bold* _em_ [x](http://y) <img src=x onerror=alert(1)>.png",
    "\\|\\`\\.png",
    " spaces .png ",
    "\x00\x1b[31mred\ufffe\ud800\udcff.png",
    "\u202egnp.exe",
    "😀 👩‍⚕️ Ärzte 脊柱.png",
    "%0A,title=x::y.png",
    "@all www.example.org #1 :smile: $x$ ~~a~~.png",
    "&amp;&lt;.png",
    "-",
    "",
)
WORST = WorstImages(
    "largest mean radial error", (RankedImage("b.png", 15.2, "px"), RankedImage("a.png", 9.1, "px"))
)
FAILED = GateCase(
    GateResult(
        Gate("radial_error_px.mean", "<=", 4.0), 8.9375, passed=False, estimate=8.9375, ci95=(5.61, 12.3)
    ),
    WORST,
)
MISSING = GateCase(
    GateResult(
        Gate("radial_error_mm.mean", "<=", 2.0), None, passed=False, reason="the run has no such number"
    )
)
PASSED = GateCase(GateResult(Gate("images.failed", "<=", 0.0), 0.0, passed=True, estimate=0.0))
BOUND = GateCase(
    GateResult(
        Gate("calibration.mace", "<=", 0.05, Bound.UPPER, View.LA),
        0.0503,
        passed=False,
        estimate=0.0402,
        ci95=(0.03, 0.0503),
    )
)
BASELINE = GateCase(
    GateResult(
        Gate("sdr_px.4", ">=", -0.01, Bound.LOWER, kind=GateKind.BASELINE),
        -0.08,
        passed=False,
        estimate=-0.05,
        ci95=(-0.08, -0.02),
        baseline="runs/best",
    ),
    WORST,
)
RESULT = CiRecord(
    command="evaluate",
    about=(("checkpoint", "ckpt.pt"), ("view", "AP")),
    said="Calibrated.",
    judged=6,
    failures=(Failure("c.png", "the file is empty"),),
    failures_allowed=False,
    gates=(PASSED, FAILED, MISSING, BOUND, BASELINE),
    numbers=(
        NumberRow("mean radial error, px", "8.94", "5.61 to 12.3"),
        NumberRow("errors up to 4 px", "50.0 %"),
    ),
    worst=WORST,
    notes=("one thing more",),
)
NOT_DONE = CiRecord("anatomy", problems=("no such run", "and another line"), failures_allowed=False)
PLAIN = CiRecord("calibration", judged=1)


def hostile_gate(name: str) -> GateResult:
    """A failed gate whose metric, baseline and reason are `name`."""
    gate = Gate(name, "<=", 1.0, kind=GateKind.BASELINE)
    return GateResult(gate, 2.0, passed=False, reason=name, baseline=name)


def hostile(name: str) -> CiRecord:
    """A record in which all that can come from outside is `name`."""
    worst = WorstImages("largest loss", (RankedImage(name, 1.0),))
    return CiRecord(
        command="evaluate",
        about=(("data", name),),
        problems=(name,),
        judged=1,
        failures=(Failure(name, name),),
        failures_allowed=False,
        gates=(GateCase(hostile_gate(name), worst),),
        notes=(name,),
    )
