"""Block pools and byte stores: laws by random walks, refusals with numbers."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from models.errors import CapacityError, LawBroken
from sim.hardware.memory import BlockPool, ByteStore

TOTAL = 50
KEYS = st.sampled_from("abc")
BLOCKS = st.integers(0, 30)


class PoolMachine(RuleBasedStateMachine):
    """A pool beside a plain model of it: private blocks, and groups with their holders."""

    def __init__(self):
        super().__init__()
        self.pool = BlockPool(TOTAL)
        self.private = 0
        self.groups: dict[str, list[int]] = {}

    @property
    def free(self):
        return TOTAL - self.private - sum(blocks for blocks, _ in self.groups.values())

    def attempt(self, allowed, error, action):
        """The action happens if it is allowed, and else raises and changes nothing."""
        before = (self.pool.free, self.pool.private, self.pool.shared)
        if allowed:
            return action()
        with pytest.raises(error):
            action()
        assert (self.pool.free, self.pool.private, self.pool.shared) == before
        return None

    @rule(n=BLOCKS)
    def take(self, n):
        fits = n <= self.free
        self.attempt(fits, CapacityError, lambda: self.pool.take(n))
        self.private += n if fits else 0

    @rule(n=BLOCKS)
    def release(self, n):
        there = n <= self.private
        self.attempt(there, LawBroken, lambda: self.pool.release(n))
        self.private -= n if there else 0

    @rule(key=KEYS, n=BLOCKS)
    def share(self, key, n):
        new, fits = key not in self.groups, n <= self.free
        self.attempt(
            new and fits, CapacityError if new else LawBroken, lambda: self.pool.share(key, n)
        )
        if new and fits:
            self.groups[key] = [n, 1]

    @rule(key=KEYS, n=BLOCKS)
    def publish(self, key, n):
        allowed = key not in self.groups and n <= self.private
        self.attempt(allowed, LawBroken, lambda: self.pool.publish(key, n))
        if allowed:
            self.groups[key] = [n, 1]
            self.private -= n

    @rule(key=KEYS)
    def acquire(self, key):
        known = key in self.groups
        blocks = self.attempt(known, LawBroken, lambda: self.pool.acquire(key))
        if known:
            assert blocks == self.groups[key][0]
            self.groups[key][1] += 1

    @rule(key=KEYS)
    def drop(self, key):
        known = key in self.groups
        freed = self.attempt(known, LawBroken, lambda: self.pool.drop(key))
        if known:
            blocks, holders = self.groups[key]
            assert freed == (blocks if holders == 1 else 0)
            self.groups[key][1] -= 1
            if holders == 1:
                del self.groups[key]

    @invariant()
    def counts_agree(self):
        self.pool.check()
        assert self.pool.free == self.free
        assert self.pool.used == TOTAL - self.free
        assert {key: self.pool.holders(key) for key in "abc"} == {
            key: self.groups.get(key, [0, 0])[1] for key in "abc"
        }


PoolMachine.TestCase.settings = settings(deadline=None, max_examples=60, stateful_step_count=30)
TestPool = PoolMachine.TestCase


def test_refusals_name_the_numbers():
    pool = BlockPool(10)
    pool.take(7)
    with pytest.raises(CapacityError, match="4 blocks asked, 3 of 10 free"):
        pool.take(4)
    with pytest.raises(LawBroken, match="take of -1 blocks"):
        pool.take(-1)
    with pytest.raises(LawBroken, match="release of 8 blocks, 7 are private"):
        pool.release(8)
    pool.publish("prefix", 7)
    with pytest.raises(LawBroken, match="release of 1 blocks, 0 are private"):
        pool.release(1)
    pool.drop("prefix")
    with pytest.raises(LawBroken, match="which nobody holds"):
        pool.drop("prefix")
    with pytest.raises(CapacityError, match="pool of -1 blocks"):
        BlockPool(-1)


def test_check_finds_a_pool_that_does_not_add_up():
    pool = BlockPool(10)
    pool.take(4)
    pool.free += 1
    with pytest.raises(LawBroken, match=r"7 free \+ 4 private \+ 0 shared .* of 10"):
        pool.check()


def test_store_keeps_tenants_apart():
    store = ByteStore(100, "host memory")
    store.take("weights", 60)
    store.take("kv", 30)
    store.take("kv", 5)
    assert store.tenants == {"weights": 60, "kv": 35}
    assert store.free_bytes == 5
    with pytest.raises(CapacityError, match="host memory: kv asks 6 bytes, 5 of 100 free"):
        store.take("kv", 6)
    with pytest.raises(LawBroken, match="kv releases 36 bytes, holds 35"):
        store.release("kv", 36)
    assert store.release("kv", 5) == 5
    assert store.release("kv") == 30
    assert store.tenants == {"weights": 60}
    assert store.release("nobody") == 0
    with pytest.raises(ValueError, match="take of nan bytes"):
        store.take("kv", float("nan"))
