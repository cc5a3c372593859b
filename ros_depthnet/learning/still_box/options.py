"""What can be chosen about rendered flights: plain values, so that naming them loads nothing heavy."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import Enum


class Preset(str, Enum):
    """A family of scenes."""

    STILL_BOX = 'still_box'
    BOXES = 'boxes'
    ROOM = 'room'
    CORRIDOR = 'corridor'
    FOREST = 'forest'
    STREET = 'street'
    TERRAIN = 'terrain'
    INTERIOR = 'interior'
    TUBE_SMOOTH = 'tube_smooth'
    TUBE_FOLDS = 'tube_folds'
    TUBE_BENDS = 'tube_bends'
    TUBE_VESSELS = 'tube_vessels'
    TUBE_WET = 'tube_wet'
    TUBE_FLAT = 'tube_flat'


LIT_BY_THE_CAMERA = (
    Preset.TUBE_SMOOTH,
    Preset.TUBE_FOLDS,
    Preset.TUBE_BENDS,
    Preset.TUBE_VESSELS,
    Preset.TUBE_WET,
)
"""Tubes of growing difficulty: each has what the one before has, and one thing more."""


PARK = 'park'


def _choice(default, what: str, among: tuple[str, ...] | None = None):
    return dataclasses.field(default=default, metadata={'help': what, 'choices': among})


@dataclass(frozen=True)
class FlightOptions:
    """How to fly, and through what."""

    scene: str = _choice(
        PARK, 'the park, or the random scene of a family', (PARK, *(preset.value for preset in Preset))
    )
    seed: int = _choice(0, 'decides random scenes, what moves in them, and all noise')
    seconds: float = _choice(12.0, 'length of the flight')
    speed: float = _choice(2.0, 'metres per second')
    rate: float = _choice(10.0, 'frames per second')
    weave: float = _choice(0.6, 'how far the path weaves to both sides, metres')
    weave_length: float = _choice(14.0, 'after how many metres it does so again')
    sway: float = _choice(0.6, 'how much the camera sways, degrees: what a gimbal leaves')
    heading: float = _choice(0.0, 'degrees from where the camera looks to where it flies: 180 is backwards')
    hover: float = _choice(0.0, 'seconds at the end in which it stays where it is')
    turn: float = _choice(0.0, 'degrees by which it turns on the spot in those seconds, to the left')
    movers: int = _choice(0, 'things that move by themselves')
    crossing: float = _choice(
        0.0,
        'metres per second at which a thing as large as a person crosses 5 m ahead, half way, from the left; 0: none',
    )
    width: int = _choice(384, 'pixels')
    height: int = _choice(288, 'pixels')
    field_of_view: float = _choice(80.0, 'degrees across')
    samples: int = _choice(6, 'rays a pixel, 1 to 6')

    @property
    def something_moves(self) -> bool:
        """Whether there are things that move by themselves."""
        return self.movers > 0 or self.crossing > 0


@dataclass(frozen=True)
class SensorOptions:
    """What a camera makes of the light, all off."""

    noise: float = _choice(0.0, 'standard deviation of the noise of a white pixel, white being 1')
    blur: float = _choice(0.0, 'standard deviation of the blur, pixels')
    exposure: float = _choice(0.0, 'standard deviation of ln(gain), which drifts over seconds')
    vignetting: float = _choice(0.0, 'share of the light that the corners lose')


IDEAL = SensorOptions()
