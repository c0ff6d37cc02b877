"""A device kind for tests: two devices of the array API standard's strict implementation, which mixes with nothing."""

from __future__ import annotations

import array_api_strict

import eagerflow as ef


class Strict(ef.devices.ArrayAPIKind):
    """Arrays of `array_api_strict` on two of the devices that it pretends to have."""

    name = "strict"
    standard = array_api_strict
    places = (array_api_strict.Device("device1"), array_api_strict.Device("device2"))


STRICT = ef.devices.kinds().get("strict") or ef.devices.register(Strict())
