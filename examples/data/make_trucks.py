"""Writes trucks.csv: a day of a fleet of 40 trucks, one position each every two minutes.

    python3 make_trucks.py > trucks.csv

The same bytes every time: its own generator, and no function whose last digit differs between
machines. Lines are in the order of time, so the trucks are mixed as they would be on arrival.
"""

import math
import sys
from datetime import datetime, timedelta, timezone

TOWNS = {  # degrees north, degrees east
    "Basel": (47.5596, 7.5886),
    "Bern": (46.9480, 7.4474),
    "Chur": (46.8508, 9.5320),
    "Fribourg": (46.8065, 7.1620),
    "Geneva": (46.2044, 6.1432),
    "Lausanne": (46.5197, 6.6323),
    "Lucerne": (47.0502, 8.3093),
    "Neuchatel": (46.9900, 6.9293),
    "Olten": (47.3497, 7.9033),
    "Schaffhausen": (47.6973, 8.6349),
    "St. Gallen": (47.4245, 9.3767),
    "Winterthur": (47.4988, 8.7237),
    "Zurich": (47.3769, 8.5417),
}
TRUCKS = 40
REPORTS = 260
INTERVAL_S = 120
START = datetime(2025, 5, 6, 5, 0, 0, tzinfo=timezone.utc)
KM_PER_DEGREE = 111.2
EAST_SHRINK = 0.684  # the cosine of 46.8 degrees


class Dice:
    """A linear congruential generator (Knuth's MMIX constants), the high bits of 64."""

    def __init__(self, seed):
        self.state = seed

    def below(self, limit):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 33) % limit


class Truck:
    def __init__(self, number):
        self.dice = Dice(1000 + number)
        self.name = f"truck-{number:02d}"
        self.towns = [TOWNS[name] for name in sorted(TOWNS)]
        self.place = self.towns[self.dice.below(len(self.towns))]
        self.offset_s = self.dice.below(INTERVAL_S)
        self.leave()

    def leave(self):
        """Chooses the next town, and a speed for the way there."""
        choices = [town for town in self.towns if town != self.place]
        self.goal = choices[self.dice.below(len(choices))]
        self.km_h = 55 + self.dice.below(26)
        self.waits = 0

    def drive(self):
        if self.waits > 0:
            self.waits -= 1
            if self.waits == 0:
                self.leave()
            return
        north = self.goal[0] - self.place[0]
        east = self.goal[1] - self.place[1]
        km = KM_PER_DEGREE * math.sqrt(north * north + (east * EAST_SHRINK) ** 2)
        # Traffic: between 70 and 100 percent of the speed chosen.
        step = self.km_h * (70 + self.dice.below(31)) / 100 * INTERVAL_S / 3600
        if step >= km:
            self.place = self.goal
            self.waits = 10 + self.dice.below(21)  # unloading, 20 to 60 minutes
        else:
            self.place = (self.place[0] + north * step / km, self.place[1] + east * step / km)

    def report(self, tick):
        # A receiver is off by up to 30 metres.
        lat = self.place[0] + (self.dice.below(601) - 300) / 1_000_000
        lon = self.place[1] + (self.dice.below(601) - 300) / 1_000_000
        at = START + timedelta(seconds=tick * INTERVAL_S + self.offset_s)
        return at, f"{self.name},{at:%Y-%m-%dT%H:%M:%SZ},{lat:.5f},{lon:.5f}"


def main():
    fleet = [Truck(number) for number in range(1, TRUCKS + 1)]
    lines = []
    for tick in range(REPORTS):
        for truck in fleet:
            lines.append(truck.report(tick))
            truck.drive()
    # Sorting is stable: within a second the order of the fleet.
    lines.sort(key=lambda line: line[0])
    sys.stdout.write("".join(f"{text}\n" for _, text in lines))


main()
