# SPDX-License-Identifier: Apache-2.0
"""The arithmetic behind "ratio, lo, hi, ok", without measuring anything."""
from __future__ import annotations

import random
import unittest

from tests.bench.interval import percentile, ratio_interval
from tests.bench.result import Result, absolute, compare


class Percentile(unittest.TestCase):
    def test_table(self) -> None:
        for values, share, expected in (([5.0], 0.9, 5.0), ([1.0, 3.0], 0.5, 2.0), ([0.0, 10.0, 20.0], 0.25, 5.0),
                                        ([1.0, 2.0, 3.0], 0.0, 1.0), ([1.0, 2.0, 3.0], 1.0, 3.0)):
            with self.subTest(values=values, share=share):
                self.assertAlmostEqual(percentile(values, share), expected)

    def test_nothing_has_no_percentile(self) -> None:
        with self.assertRaises(ValueError):
            percentile([], 0.5)


class Ratio(unittest.TestCase):
    def test_known(self) -> None:
        interval = ratio_interval([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])
        self.assertEqual((interval.ratio, interval.lo, interval.hi), (0.5, 0.5, 0.5))

    def test_pairs_cancel_what_hits_both(self) -> None:
        chance = random.Random(7)
        noise = [chance.uniform(1, 10) for _ in range(20)]
        interval = ratio_interval([3 * n for n in noise], [4 * n for n in noise])
        self.assertAlmostEqual(interval.lo, 0.75)
        self.assertAlmostEqual(interval.hi, 0.75)

    def test_one_hit_round_decides_nothing(self) -> None:
        interval = ratio_interval([1.0] * 11 + [100.0], [1.0] * 12)
        self.assertEqual((interval.ratio, interval.hi), (1.0, 1.0))

    def test_same_input_same_interval(self) -> None:
        ours = [random.Random(3).uniform(1, 2) for _ in range(10)]
        peer = [1.0] * 10
        self.assertEqual(ratio_interval(ours, peer), ratio_interval(ours, peer))

    def test_more_rounds_know_better(self) -> None:
        chance = random.Random(5)
        ours = [chance.gauss(1.0, 0.1) for _ in range(200)]
        few, many = ratio_interval(ours[:10], [1.0] * 10), ratio_interval(ours, [1.0] * 200)
        self.assertLess(many.hi - many.lo, few.hi - few.lo)

    def test_covers_the_truth(self) -> None:
        chance = random.Random(11)
        hits = 0
        for _ in range(60):
            peer = [chance.uniform(1, 3) for _ in range(15)]
            interval = ratio_interval([p * chance.lognormvariate(0, 0.3) for p in peer], peer)
            hits += interval.lo <= 1.0 <= interval.hi
        self.assertGreaterEqual(hits, 52)  # 95 % of 60 is 57; a median's bootstrap of 15 is a little narrow

    def test_refuses(self) -> None:
        for ours, peer in (([], []), ([1.0], [1.0, 2.0]), ([1.0], [0.0]), ([-1.0], [1.0])):
            with self.subTest(ours=ours, peer=peer), self.assertRaises(ValueError):
                ratio_interval(ours, peer)


class Verdict(unittest.TestCase):
    def result(self, ratio: float, lo: float, hi: float, bar: float | None) -> Result:
        return Result("x", 1.0, 1.0, "peer", ratio, lo, hi, bar, "us")

    def test_table(self) -> None:
        for ratio, lo, hi, bar, ok, word in ((0.5, 0.4, 0.6, 0.6, True, "ok"), (0.5, 0.4, 0.7, 0.6, False, "unsure"),
                                             (0.7, 0.5, 0.9, 0.6, False, "unsure"),
                                             (0.9, 0.7, 1.0, 0.6, False, "MISSED"), (9.0, 8.0, 10.0, None, True, "-"),
                                             (0.0, 0.0, 0.0, 0.0, True, "ok"), (0.1, 0.1, 0.1, 0.0, False, "MISSED")):
            with self.subTest(ratio=ratio, lo=lo, hi=hi, bar=bar):
                result = self.result(ratio, lo, hi, bar)
                self.assertEqual((result.ok, result.verdict), (ok, word))

    def test_compare_gives_medians(self) -> None:
        result = compare("x", "peer", [1.0, 2.0, 9.0], [2.0, 4.0, 18.0], 0.5, "us")
        self.assertEqual((result.ours, result.peer, result.ratio, result.ok), (2.0, 4.0, 0.5, True))

    def test_an_absolute_is_a_share_of_its_limit(self) -> None:
        self.assertEqual(absolute("x", "limit", 128, 256, "KiB").ratio, 0.5)
        self.assertFalse(absolute("x", "limit", 257, 256, "KiB").ok)

    def test_a_limit_of_nothing_allows_nothing(self) -> None:
        self.assertTrue(absolute("x", "none", 0, 0, "calls").ok)
        self.assertFalse(absolute("x", "none", 1, 0, "calls").ok)

    def test_json_has_the_agreed_fields(self) -> None:
        self.assertEqual(list(self.result(1, 1, 1, 2).to_json()),
                         ["name", "ours", "peer", "peer_name", "ratio", "lo", "hi", "bar", "ok"])


if __name__ == "__main__":
    unittest.main()
