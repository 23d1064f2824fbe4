from mahtdiag.api.evaluating import evaluate as evaluate
from mahtdiag.api.lightning import lightning_callback as lightning_callback
from mahtdiag.api.monitor import Monitor as Monitor
from mahtdiag.api.numbers import Number as Number
from mahtdiag.api.numbers import Numbers as Numbers
from mahtdiag.api.run import Run as Run
from mahtdiag.api.run import load as load
from mahtdiag.api.tables import Table as Table
from mahtdiag.errors import MahtdiagError as MahtdiagError

__version__: str
