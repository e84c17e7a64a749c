"""Old devices go on where reuse emits less than a new device would."""

from __future__ import annotations

from models.carbon.units import grams
from policies.refresh.contract import Decision, DeviceView, PlaceView, Refresh


class SecondLife:
    """Replaces when another policy does; what is fit for it goes to the place where it saves most.

    What reuse saves there: making a new one, as far as it would be written off meanwhile, less what
    the old one's draw emits above it.
    """

    def __init__(self, when: Refresh) -> None:
        self.when = when

    def decide(self, device: DeviceView, now_s: float) -> Decision:
        decision = self.when.decide(device, now_s)
        if not decision.replace:
            return decision
        places = [place for place in device.places if place.fit and saved_g(place) > 0.0]
        best = max(places, key=saved_g, default=None)
        return Decision(True, best.name if best is not None else None)


def saved_g(place: PlaceView) -> float:
    """Carbon that a device saves in its second life there, less what it costs."""
    making = place.embodied_g * min(1.0, place.served_s / place.life_s)
    more_j = (place.reused_w - place.new_w) * place.pue * place.served_s
    return making - grams(more_j, place.intensity_g_per_kwh)
