"""Limits of rules: where they come from, for which view and region they hold, and what breaks them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf

import numpy as np

from mahtdiag.anatomy.geometry import Floats
from mahtdiag.schema.skeleton import Region, Skeleton, View

BY_DEFINITION = "Follows from what the keypoints mean; no clean real annotation breaks it."
"""Origin of a limit that nothing but a contradiction breaks."""

AASCE = (
    "Beyond the most extreme value of L1–L5 in clean real AP radiographs (AASCE 2019, 2,150 vertebrae of 430 "
    "images)."
)

THORACIC_AP = (
    "Beyond the most extreme value of T1–T12 in clean real AP radiographs (AASCE 2019, 5,028 vertebrae of "
    "419 images)."
)

LA_CHOICE = "LA: a choice, the limit of the lumbar spine; no lateral set was at hand."

CERVICAL_CHOICE = "A choice: the limit of the lumbar spine; no set of cervical spines was at hand."

READERS = (
    "Two readers of one radiograph differ by about 7 % of the vertebra spacing, 0.1 heights, per keypoint "
    "(AASCE 2019, images labelled twice)."
)

L5_BODY = (
    "L5 is 30.3 mm high in front, 26.3 mm behind and 35.5 mm deep (means of 196 people; Cook and Baker, Int "
    "J Spine Surg 15:1072, 2021): wedged by 6°, and 1.25 times as deep as high."
)

ROUNDING = 1e-9
"""Values that differ by less than this share are the same."""


class Fires(StrEnum):
    """On which side of its limit a value fires."""

    ABOVE = "above"
    BELOW = "below"
    AT_OR_BELOW = "at or below"


@dataclass(frozen=True, slots=True)
class LimitSpec:
    """One limit of a rule.

    `key` names it in settings (`A201`, `A301-min`); `typical` is the value of an ordinary spine: severity
    counts the excess over the limit in units of |limit − typical|. `possible`: the values that the measured
    quantity can have. `last`: it is for what a last endplate adds to the spine, S1 and the disc above it.
    `region`: it is for the vertebrae of a region and the discs below them, and its key ends in the name of
    that; without one it is for all vertebrae whose region has no limit of its own.
    """

    key: str
    unit: str
    fires: Fires
    ap: float
    la: float
    typical: float
    origin: str
    possible: tuple[float, float] = (-inf, inf)
    last: bool = False
    region: Region | None = None

    @property
    def base(self) -> str:
        """The key without its region, `A202` of `A202-thoracic`: what a rule calls its quantity."""
        return self.key if self.region is None else self.key.removesuffix(f"-{self.region}")

    def within(
        self, region: Region, origin: str, *, ap: float | None = None, la: float | None = None
    ) -> "LimitSpec":
        """The same for one region, with limits of its own where they are given."""
        ap, la = self.ap if ap is None else ap, self.la if la is None else la
        return replace(self, key=f"{self.key}-{region}", ap=ap, la=la, origin=origin, region=region)

    def default(self, view: View) -> float:
        """The limit used where nothing else is set."""
        return self.la if view is View.LA else self.ap

    @property
    def by_definition(self) -> bool:
        """Whether what breaks it contradicts what the keypoints mean."""
        return self.origin == BY_DEFINITION

    def problem_of(self, value: float) -> str | None:
        """Why a limit makes no sense, the measured value being always or never beyond it; None if it does."""
        least, most = self.possible
        if self.fires is Fires.ABOVE:
            always, never = value < least, value >= most
        else:
            always, never = value > most, value < least or (self.fires is Fires.BELOW and value == least)
        # Half of a band is switched off by its end.
        if (never and value == least and self.base.endswith("-min")) or not (always or never):
            return None
        bounds = f"is never below {least:g}" if most == inf else f"lies between {least:g} and {most:g}"
        remedy = "" if always else "; ignore leaves a rule out"
        return f"{'always' if always else 'never'} fires: what it limits {bounds}{remedy}"

    def spread(self, view: View) -> float:
        """Distance from an ordinary value to the default limit: the unit of severity."""
        return abs(self.default(view) - self.typical)


def limits_of_keypoints(limits: Mapping[str, float], key: str, skeleton: Skeleton) -> Floats:
    """The limit of each keypoint's region, or else that of all, `[K, 1]`; `[1, 1]` where all have one."""
    own = {region: limits.get(f"{key}-{region}", limits[key]) for region in skeleton.regions}
    if set(own.values()) == {limits[key]}:
        return np.array([[limits[key]]])
    return np.array([[own[Region.of(vertebra)]] for vertebra in skeleton.vertebra_of])
