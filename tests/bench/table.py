# SPDX-License-Identifier: MIT
"""Samples of several peers in rows: medians, spread, ratios and what was hoped for."""
import statistics


def spread(samples):
    """Half of the samples are within this part of the median, to either side."""
    if len(samples) < 2:
        return 0.0
    low, _, high = statistics.quantiles(samples, n=4, method='inclusive')
    return (high - low) / 2 / statistics.median(samples) if statistics.median(samples) else 0.0


class Row:
    """goals: {peer: times its rate that ourofs should reach}. Samples are of time: less is better."""

    def __init__(self, name, unit='us', goals=None):
        self.name = name
        self.unit = unit
        self.goals = goals or {}
        self.samples = {}

    def add(self, peer, value):
        self.samples.setdefault(peer, []).append(value)

    def median(self, peer):
        return statistics.median(self.samples[peer])

    def ratio(self, peer):
        """ourofs's rate as a multiple of the peer's. Of each round's pair, then the median of those: what
        else the machine did meanwhile meets both."""
        return statistics.median(theirs / ours for theirs, ours in
                                 zip(self.samples[peer], self.samples['ourofs']))

    def ratios(self):
        return {peer: self.ratio(peer) for peer in self.samples if peer != 'ourofs'}

    def met(self, peer):
        return self.ratio(peer) >= self.goals[peer]

    def as_json(self):
        return {
            'name': self.name,
            'unit': self.unit,
            'peers': {peer: {'median': round(self.median(peer), 3),
                             'spread': round(spread(samples), 3), 'rounds': len(samples)}
                      for peer, samples in self.samples.items()},
            'ratios': {peer: round(ratio, 3) for peer, ratio in self.ratios().items()},
            'goals': {peer: {'at_least': goal, 'met': self.met(peer)}
                      for peer, goal in self.goals.items() if peer in self.samples},
        }

    def __str__(self):
        cells = [f'{self.name + ", " + self.unit:42}']
        for peer, samples in self.samples.items():
            cells.append(f'{peer} {self.median(peer):.1f} (+-{spread(samples) * 100:.0f} %)')
        for peer, ratio in self.ratios().items():
            goal = ''
            if peer in self.goals:
                goal = f' (goal {self.goals[peer]}{"" if self.met(peer) else ", MISSED"})'
            cells.append(f'{ratio:.2f}x {peer}{goal}')
        return '  '.join(cells)
