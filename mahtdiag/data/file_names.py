"""What file names of BUU-LSPINE tell, such as `0001-F-037Y0`: patient, sex, age and view."""

import re
from typing import Final

from mahtdiag.schema.records import Patient
from mahtdiag.schema.safe_text import recorded
from mahtdiag.schema.skeleton import View

_FILE_NAME: Final = re.compile(r"(?P<identifier>.+)-(?P<sex>[MF])-(?P<age>\d{1,3})Y(?P<view>[01])", re.ASCII)
# The last digit of a file name in the published set.
FILE_NAME_DIGITS: Final = {View.AP: "0", View.LA: "1"}


def parse_file_name(stem: str) -> Patient | None:
    """Patient, sex and age from a name like `0001-F-037Y0`, or None where the name is not of that form."""
    match = _FILE_NAME.fullmatch(stem)
    if match is None:
        return None
    return Patient(recorded(match["identifier"]), match["sex"], int(match["age"]))


def view_of_file_name(stem: str) -> View | None:
    """The view a name like `0001-F-037Y0` ends in (0 is AP, 1 is LA), or None for another form."""
    match = _FILE_NAME.fullmatch(stem)
    return next((view for view in View if match and match["view"] == FILE_NAME_DIGITS[view]), None)
