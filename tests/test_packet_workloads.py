"""Packets of network functions: generators, captures, and what their traffic is estimated to be."""

from __future__ import annotations

import struct
from collections import Counter
from itertools import islice, pairwise
from math import e

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from network_function_kit import CONFIGS, part, traffic

from models.errors import ConfigError, TraceError
from models.network_functions.estimate import EpochCounters, estimate, smoothed, zipf_exponent
from models.network_functions.sketch import CountMin, HeavyFlows
from workloads.demand import Packet
from workloads.packets.capture import Capture
from workloads.packets.mixed_flows import FlowLengths, MixedFlows
from workloads.packets.profile import measured
from workloads.packets.sizes import PacketSizes
from workloads.packets.zipf_flows import Phase, ZipfFlows


def rng(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


# --- estimates


@given(st.floats(0.1, 2.0), st.floats(1e3, 1e6))
@settings(max_examples=40, deadline=None)
def test_exponent_of_exact_counts(exponent, most):
    counts = [most * rank**-exponent for rank in range(1, 2000)]
    assert zipf_exponent(counts[::-1]) == pytest.approx(exponent)


def test_exponent_without_a_law():
    assert zipf_exponent([4.0] * 100) == 0.0
    for few in ([], [5], [9.0, 5.0, 3.0], [7.0] * 9 + [0.0] * 90):
        assert zipf_exponent(few) is None
    # Then what is known stays.
    assert estimate(counters(top_counts=[5.0, 2.0]), known=1.1).zipf_exponent == 1.1


def counters(**changes):
    made = {
        "duration_s": 0.1,
        "packets": 1000.0,
        "size_bytes": 256e3,
        "new_flows": 50.0,
        "active_flows": 300.0,
        "top_counts": [100.0 / rank for rank in range(1, 21)],
    }
    return EpochCounters(**{**made, **changes})


def test_estimate_by_hand():
    profile = estimate(counters())
    assert profile.rate_pps == pytest.approx(1e4)
    assert profile.packet_bytes == 256.0
    assert profile.packets_per_flow == 20.0
    assert profile.flows == 300.0
    assert profile.zipf_exponent == pytest.approx(1.0)
    assert estimate(counters(new_flows=0.0)).packets_per_flow == 1000.0
    assert estimate(counters(new_flows=900.0)).packets_per_flow == 2.0
    with pytest.raises(ValueError, match="an epoch without packets shows no profile"):
        counters(packets=0.0)


def test_smoothing_by_hand():
    old, new = estimate(counters()), estimate(counters(packets=2000.0, new_flows=200.0))
    assert smoothed(None, old, 0.3) is old
    mean = smoothed(old, new, 0.3)
    assert mean.rate_pps == pytest.approx(13e3)
    # 500 and 2000 new flows a second: 950 of 13000 packets.
    assert mean.packets_per_flow == pytest.approx(13e3 / 950)
    # As many bytes in twice the packets: the mean of bytes over that of packets.
    assert mean.packet_bytes == pytest.approx(256e3 * 10 / 13e3)
    with pytest.raises(ValueError, match=r"weight 0\.0 of a moving average"):
        smoothed(old, new, 0.0)


@given(st.lists(st.integers(0, 40), max_size=300), st.integers(1, 4), st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_sketch_never_counts_too_few(flows, rows, columns):
    sketch = CountMin(rows, columns, rng())
    for flow in flows:
        sketch.add(flow)
    truth = Counter(flows)
    for flow in range(41):
        assert truth[flow] <= sketch.count(flow) <= len(flows)


@given(
    st.lists(st.lists(st.integers(0, 1 << 61), unique=True, max_size=40), max_size=6),
    st.integers(1, 3),
    st.integers(1, 40),
    st.integers(1, 30),
    st.integers(1, 9),
)
def test_flows_counted_together_are_as_one_after_the_other(batches, rows, columns, most, count):
    one, all_ = (HeavyFlows(most, CountMin(rows, columns, rng())) for _ in range(2))
    for flows in batches:
        for flow in flows:
            one.add(flow, count + flow % 3)
        numbers = np.array(flows, dtype=np.int64)
        all_.add_all(numbers, count + numbers % 3)
        assert list(one.counts.items()) == list(all_.counts.items())
        assert [columns.tolist() for columns in all_.columns()] == [
            list(one.counts.keys()),
            list(one.counts.values()),
        ]


def test_sketch_errs_within_its_bound():
    columns, draw = 2048, rng()
    sketch = CountMin(4, columns, draw)
    flows = draw.zipf(1.2, 30_000) % 10**6
    for flow in flows.tolist():
        sketch.add(flow)
    truth = Counter(flows.tolist())
    wrong = [flow for flow in truth if sketch.count(flow) > truth[flow] + e / columns * len(flows)]
    assert len(wrong) <= len(truth) * e**-4


def test_heavy_flows_are_the_most_popular():
    draw = rng()
    heavy = HeavyFlows(50, CountMin(4, 8192, draw))
    for packet in islice(ZipfFlows(traffic(flows=5e3, zipf_exponent=1.2)).packets(draw), 40_000):
        heavy.add(packet.flow)
    assert len(heavy.counts) == 50
    assert len(set(range(20)) & set(heavy.counts)) >= 19
    for flow, count in heavy.counts.items():
        assert count == heavy.sketch.count(flow)
    with pytest.raises(ValueError, match="0 heavy flows"):
        HeavyFlows(0, heavy.sketch)


# --- generators


SMALL = {"flows": 2000.0, "packets_per_flow": 20.0, "rate_pps": 1e6}


def drawn(workload, number: int, seed: int = 7) -> list[Packet]:
    return list(islice(workload.packets(rng(seed)), number))


def check_lives(packets: list[Packet], born_before: int = 0) -> None:
    """Each flow has one first packet (none if it was there at the start) and none after its last;
    time never goes back."""
    seen: dict[int, str] = dict.fromkeys(range(born_before), "E")
    for packet in packets:
        if packet.kind == "N":
            assert packet.flow not in seen
        else:
            assert seen[packet.flow] != "T"
        seen[packet.flow] = packet.kind
    assert all(one.time_s <= other.time_s for one, other in pairwise(packets))


def test_zipf_flows_have_the_profile():
    profile = traffic(**SMALL)
    number = 100_000
    packets = drawn(ZipfFlows(profile), number)
    check_lives(packets, born_before=2000)
    assert packets[-1].time_s == pytest.approx(number / 1e6, rel=0.02)
    kinds = Counter(packet.kind for packet in packets)
    assert kinds["N"] == pytest.approx(number / 20, rel=0.05)
    assert abs(kinds["T"] - kinds["N"]) <= 1
    # Established packets of the 100 most popular places, as the model has it.
    hits = sum(packet.kind == "E" and packet.rank <= 100 for packet in packets)
    assert hits / number == pytest.approx(profile.weights(100.0)["EH"], rel=0.02)
    # Flows end as often at any rank: entries of the 100 places are moved as often.
    ends = sum(packet.kind == "T" and packet.rank <= 100 for packet in packets)
    assert ends == pytest.approx(number / 20 * 100 / 2000, rel=0.2)


def test_zipf_flows_are_the_same_however_many_are_taken():
    flows = ZipfFlows(traffic(**SMALL), sizes=PacketSizes({128: 1, 384: 1}))
    assert drawn(flows, 9000)[:50] == drawn(flows, 50)
    assert drawn(flows, 50, seed=8) != drawn(flows, 50)
    sizes = Counter(packet.size_bytes for packet in drawn(flows, 5000))
    assert sizes[128.0] == pytest.approx(2500, abs=200)
    assert sum(sizes.values()) == 5000


@pytest.mark.parametrize("flows", [1.0, 2.0, 3.0])
def test_of_few_flows_none_sends_after_its_last_packet(flows):
    profile = traffic(flows=flows, packets_per_flow=10.0)
    packets = drawn(ZipfFlows(profile), 50_000)
    check_lives(packets, born_before=int(flows))
    kinds = Counter(packet.kind for packet in packets)
    assert kinds["N"] == pytest.approx(5000, rel=0.05)
    assert abs(kinds["N"] - kinds["T"]) <= 1


def test_zipf_flows_end_at_their_limit_and_may_come_evenly():
    flows = ZipfFlows(traffic(**SMALL), evenly=True, limit=10)
    packets = list(flows.packets(rng()))
    assert flows.finite
    assert [packet.time_s for packet in packets] == pytest.approx([i * 1e-6 for i in range(1, 11)])
    assert not ZipfFlows(traffic(**SMALL)).finite


def test_traffic_changes_with_its_phases():
    first = traffic(**SMALL)
    later = traffic(**{**SMALL, "rate_pps": 2e6, "packets_per_flow": 5.0})
    flows = ZipfFlows(first, phases=[Phase(0.02, later, reshuffled=0.1)])
    packets = drawn(flows, 60_000)
    check_lives(packets, born_before=2000)
    before = [packet for packet in packets if packet.time_s < 0.02]
    after = packets[len(before) :]
    assert len(before) == pytest.approx(20_000, rel=0.03)
    assert after[-1].time_s - 0.02 == pytest.approx(len(after) / 2e6, rel=0.03)
    assert sum(p.kind == "N" for p in after) == pytest.approx(len(after) / 5, rel=0.05)
    # The most popular tenth trade places among themselves, the others keep theirs.
    ranks = {p.flow: p.rank for p in before}
    moved = [(ranks[p.flow], p.rank) for p in after if p.flow in ranks]
    assert all((old == new) or (old <= 200 and new <= 200) for old, new in moved)
    assert sum(old != new for old, new in moved if old <= 200) > 0.9 * sum(
        old <= 200 for old, _ in moved
    )


def test_wrong_generators_are_refused():
    profile = traffic(**SMALL)
    with pytest.raises(ConfigError, match=r"flows = 3000 at 1 s; every phase must have the 2000"):
        ZipfFlows(profile, phases=[Phase(1.0, traffic(flows=3000.0))])
    with pytest.raises(ConfigError, match=r"start_s = 1\.0 must be after 1\.0"):
        ZipfFlows(profile, phases=[Phase(1.0, profile), Phase(1.0, profile)])
    with pytest.raises(ConfigError, match="their mean is 64 bytes, the profile's packet_bytes is"):
        ZipfFlows(profile, sizes=PacketSizes({64: 1}))
    with pytest.raises(ConfigError, match="reshuffled is 2; it must be a number from 0 to 1"):
        Phase(1.0, profile, reshuffled=2)
    with pytest.raises(ConfigError, match="a size is -64"):
        PacketSizes({-64: 1})
    with pytest.raises(ConfigError, match=r"lognormal\[0\] has \['share'\]; it must have share, s"):
        FlowLengths({}, [{"share": 1.0}])


def test_flow_lengths_are_those_of_the_campus():
    """Share of flows longer than so many packets, in percent, as measured (agh_2015); the mixture
    is a fit of it."""
    lengths = part("packets", "campus").lengths
    draw = rng()
    drawn_lengths = np.concatenate([lengths.block(draw) for _ in range(200)])
    for longer, percent, near in (
        (1, 52.17, 0.03),
        (8, 15.87, 0.03),
        (64, 3.544, 0.03),
        (512, 0.873, 0.05),
        (4096, 0.200, 0.1),
    ):
        assert 100.0 * np.mean(drawn_lengths > longer) == pytest.approx(percent, rel=near), longer


def test_packets_of_long_flows_are_those_of_the_campus():
    """Percent of packets in flows longer than so many packets, and of those that come after: what a
    flow that is offloaded from the start, or once it has been that long, takes off the host."""
    lengths = part("packets", "campus").lengths
    draw = rng()
    drawn_lengths = np.concatenate([lengths.block(draw) for _ in range(200)]).astype(float)
    every = drawn_lengths.sum()
    for longer, in_them, after, near in (
        (1, 99.39, 98.73, 0.2),
        (8, 97.80, 96.19, 0.5),
        (64, 94.52, 91.64, 1.0),
        (512, 88.63, 82.94, 2.0),
        (4096, 77.09, 66.64, 4.0),
    ):
        of_long = drawn_lengths[drawn_lengths > longer]
        assert 100.0 * of_long.sum() / every == pytest.approx(in_them, abs=near), longer
        assert 100.0 * (of_long - longer).sum() / every == pytest.approx(after, abs=near), longer


def test_mixed_flows_live_as_long_as_they_should():
    lengths = FlowLengths({4: 1.0}, [])
    flows = MixedFlows(
        lengths, new_flows_per_s=1000.0, gap_s=0.01, packet_bytes=500.0, limit=20_000
    )
    packets = list(flows.packets(rng()))
    assert flows.begun == 1000 * 0.01 * 1.5
    check_lives(packets, flows.begun)
    assert packets == list(flows.packets(rng()))
    counts = Counter(packet.flow for packet in packets)
    early = [counts[flow] for flow in range(flows.begun, 5000)]
    assert np.mean(early) == pytest.approx(2.5, rel=0.03)
    assert set(early) == {1, 2, 3, 4}
    kinds = Counter((packet.flow, packet.kind) for packet in packets)
    over = Counter(flow for packet in packets for flow in packet.over)
    for flow in range(flows.begun, 5000):
        assert kinds[flow, "N"] == 1
        # Each has an end: a last packet, or none where the first was the only one.
        assert kinds[flow, "T"] == (counts[flow] > 1)
        assert over[flow] == (counts[flow] == 1)
    assert packets[-1].time_s == pytest.approx(20_000 / 2.5 / 1000.0, rel=0.05)


def test_flows_that_have_begun_have_left_what_a_long_run_would_leave():
    """Those with more than r packets left are as many as the packets of flows beyond their first
    r + 1: what comes to rest in a long run at any time."""
    tail = [{"share": 0.3, "sigma": 0.52, "scale": 7.8}, {"share": 0.2, "sigma": 0.8, "scale": 40}]
    lengths = FlowLengths({1: 0.3, 5: 0.2}, tail)
    drawn_lengths = np.concatenate([lengths.block(rng(seed)) for seed in range(100)])
    left = np.array(lengths.left(100_000, rng()))
    assert left.min() == 1
    beyond = [np.mean(np.maximum(0, drawn_lengths - 1 - r)) for r in (0, 1, 3, 10, 100)]
    assert lengths.mean_left == pytest.approx(beyond[0], rel=0.01)
    for r, longer in zip((1, 3, 10, 100), beyond[1:], strict=True):
        assert np.mean(left > r) == pytest.approx(longer / beyond[0], rel=0.03), r


def test_packets_of_a_campus_come_at_the_stated_rate_from_the_start():
    """80 % of 10 Gb/s, preamble and gap included, in any 10 ms."""
    campus = part("packets", "campus")
    for seed in (1, 2):
        times = [packet.time_s for packet in drawn(campus, 40_000, seed)]
        for start_s in (0.0, 0.02):
            number = sum(start_s <= time_s < start_s + 0.01 for time_s in times)
            offered = number * 8 * (870.6 + 20) / 0.01
            assert offered == pytest.approx(0.8 * 10e9, rel=0.03)


def test_packets_show_the_profile_that_made_them():
    profile = traffic(**SMALL)
    shown = measured(islice(ZipfFlows(profile).packets(rng()), 200_000))
    assert shown.rate_pps == pytest.approx(1e6, rel=0.02)
    assert shown.packets_per_flow == pytest.approx(20.0, rel=0.03)
    assert shown.packet_bytes == 256.0
    with pytest.raises(TraceError, match="1 packets at one time show no profile"):
        measured([Packet(0.0, 1, 64.0, "N")])


def test_popularity_is_estimated_from_an_epoch():
    """Flows that live for the epoch, as those of the top do; 100 ms of 1 M packets a second."""
    profile = traffic(flows=1e5, packets_per_flow=1e6, rate_pps=1e6)
    for exponent in (0.8, 1.0, 1.2):
        flows = ZipfFlows(traffic(flows=1e5, packets_per_flow=1e6, zipf_exponent=exponent))
        counts = Counter(packet.flow for packet in islice(flows.packets(rng()), 100_000))
        top = [count for _, count in counts.most_common(100)]
        assert zipf_exponent(top) == pytest.approx(exponent, abs=0.07)
    assert profile.new_flows_per_s == 1.0


def test_packets_of_the_catalogue_can_be_made():
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        zipf = compose(overrides=["+packets=zipf", "+traffic=campus"])
        capture = compose(overrides=["+packets=capture", "packets.path=x.pcap"])
    made = instantiate(zipf.packets, _convert_="all")
    assert made.phases[0].profile == part("traffic", "campus")
    assert instantiate(capture.packets, _convert_="all").path.name == "x.pcap"
    campus = part("packets", "campus")
    packets = drawn(campus, 2000)
    check_lives(packets, campus.begun)
    assert packets[0].size_bytes == 870.6


# --- captures


def ipv4(source, to, ports=(1, 2), protocol=17, flags=0, payload=0, vlan=False, fragment=0):
    """An Ethernet frame of IPv4, headers alone on the wire beside a payload of zeros."""
    if protocol == 6:
        body = struct.pack("!HHIIBBHHH", *ports, 0, 0, 0x50, flags, 0, 0, 0)
    else:
        body = struct.pack("!HHHH", *ports, 8 + payload, 0)
    body += bytes(payload)
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(body), 0, fragment, 64, protocol, 0, source, to
    )
    tag = b"\x81\x00\x00\x05" if vlan else b""
    return bytes(12) + tag + b"\x08\x00" + head + body


A, B, C = b"\x0a\0\0\1", b"\x0a\0\0\2", b"\x0a\0\0\3"
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10


def write(path, records, link=1, snap=None):
    import dpkt

    with path.open("wb") as file:
        writer = dpkt.pcap.Writer(file, linktype=link)
        for at, frame in records:
            writer.writepkt(frame[:snap], at)
    return path


def lives(path, **settings):
    return [(p.flow, p.kind, p.over) for p in Capture(path, **settings).packets(rng())]


def test_capture_by_hand(tmp_path):
    records = [
        (100.0, ipv4(A, B, (5, 80), 6, SYN)),
        (100.5, ipv4(B, A, (80, 5), 6, SYN | ACK)),  # back: the same flow
        (101.0, ipv4(A, C, (5, 80), 17, payload=1000)),
        (101.5, ipv4(A, B, (5, 80), 6, RST)),
        (102.0, ipv4(A, B, (5, 80), 6, SYN)),  # the ports are used again
        (103.0, ipv4(A, C, (5, 80), 17, vlan=True)),
        (170.0, ipv4(A, C, (5, 80), 17)),  # after a silence
        (171.0, ipv4(A, C, (0, 0), 17, fragment=0x00B9)),  # without ports
    ]
    flows = Capture(write(tmp_path / "a.pcap", records))
    assert [tuple(packet) for packet in flows.packets(rng())] == [
        (0.0, 0, 60.0, "N", 0, ()),
        (0.5, 0, 60.0, "E", 0, ()),
        (1.0, 1, 14.0 + 20 + 8 + 1000, "N", 0, ()),
        (1.5, 0, 60.0, "T", 0, ()),
        (2.0, 2, 60.0, "N", 0, ()),
        (3.0, 1, 60.0, "E", 0, ()),
        (70.0, 3, 60.0, "N", 0, (2, 1)),
        (71.0, 4, 60.0, "N", 0, ()),
    ]
    profile = measured(flows.packets(rng()))
    assert profile.packets_per_flow == 2.0
    assert profile.rate_pps == pytest.approx(8 / 71)
    assert len(list(Capture(flows.path, limit=3).packets(rng()))) == 3
    # A long silence makes the UDP flow of 103 s the same as that of 170 s.
    assert [p.flow for p in Capture(flows.path, idle_s=100.0).packets(rng())][-2:] == [1, 3]


def test_a_connection_that_closes_is_one_flow(tmp_path):
    there = [ipv4(A, B, (5, 80), 6, flags) for flags in (SYN, ACK, FIN | ACK)]
    back = [ipv4(B, A, (80, 5), 6, flags) for flags in (SYN | ACK, ACK, FIN | ACK)]
    close = [there[2], back[1], back[1], back[2], there[1]]
    frames = [there[0], back[0], there[1], *close, back[2], there[0], there[2], back[2]]
    path = write(tmp_path / "a.pcap", [(100.0 + i, frame) for i, frame in enumerate(frames)])
    assert lives(path) == [
        (0, "N", ()),
        *[(0, "E", ())] * 6,
        (0, "T", ()),  # the last acknowledgement
        (0, "E", ()),  # a FIN once more
        (1, "N", ()),  # a new connection of the same end points
        (1, "E", ()),
        (1, "E", ()),
    ]
    # Without that acknowledgement, a silence ends it; so it does where one side alone has closed.
    silent = [(0.0, there[0]), (1.0, there[2]), (2.0, back[2]), (20.0, there[1])]
    assert lives(write(tmp_path / "b.pcap", silent)) == [
        (0, "N", ()),
        (0, "E", ()),
        (0, "E", ()),
        (1, "N", (0,)),
    ]
    half = [silent[0], silent[1], (20.0, back[1]), (99.0, there[1])]
    assert lives(write(tmp_path / "c.pcap", half))[2:] == [(0, "E", ()), (1, "N", (0,))]
    # A port that is closed answers at once.
    scan = [(0.0, there[0]), (0.1, ipv4(B, A, (80, 5), 6, RST | ACK)), (1.0, there[0])]
    assert lives(write(tmp_path / "d.pcap", scan)) == [(0, "N", ()), (0, "T", ()), (1, "N", ())]


def test_capture_of_headers_alone_knows_the_length(tmp_path):
    frame = ipv4(A, B, (5, 80), 17, payload=1200)
    cut = Capture(write(tmp_path / "a.pcap", [(1.0, frame)], snap=42))
    assert [packet.size_bytes for packet in cut.packets(rng())] == [float(len(frame))]
    bare = Capture(write(tmp_path / "b.pcap", [(1.0, frame[14:])], link=101))
    assert [packet.size_bytes for packet in bare.packets(rng())] == [len(frame) - 14.0]


def test_capture_of_ipv6_and_of_other_frames(tmp_path):
    udp = struct.pack("!HHHH", 7, 9, 8, 0)
    head = struct.pack("!IHBB", 6 << 28, 108, 17, 64)
    ends = bytes(15) + b"\1", bytes(15) + b"\2"
    there = bytes(12) + b"\x86\xdd" + head + ends[0] + ends[1] + udp
    back = bytes(12) + b"\x86\xdd" + head + ends[1] + ends[0] + struct.pack("!HHHH", 9, 7, 8, 0)
    arp = bytes(12) + b"\x08\x06" + bytes(28)
    records = [(1.0, there), (2.0, back), (3.0, arp), (4.0, arp), (5.0, b"\0" * 5)]
    packets = list(Capture(write(tmp_path / "a.pcap", records)).packets(rng()))
    assert [(p.flow, p.kind) for p in packets] == [
        (0, "N"),
        (0, "E"),
        (1, "N"),
        (1, "E"),
        (2, "N"),
    ]
    assert packets[0].size_bytes == 14 + 40 + 108


def test_captures_of_the_newer_format_are_read(tmp_path):
    import dpkt

    path = tmp_path / "a.pcapng"
    with path.open("wb") as file:
        writer = dpkt.pcapng.Writer(file)
        writer.writepkt(ipv4(A, B), 5.0)
        writer.writepkt(ipv4(B, A, (2, 1)), 5.25)
    packets = list(Capture(path).packets(rng()))
    assert [(p.time_s, p.flow) for p in packets] == [(0.0, 0), (pytest.approx(0.25), 0)]


def test_wrong_captures_are_refused(tmp_path):
    def read(path):
        return list(Capture(path).packets(rng()))

    with pytest.raises(TraceError, match=r"none\.pcap: No such file"):
        read(tmp_path / "none.pcap")
    text = tmp_path / "text.pcap"
    text.write_text("time,flow\n" * 10)
    with pytest.raises(TraceError, match=r"text\.pcap: no pcap or pcapng file"):
        read(text)
    with pytest.raises(TraceError, match=r"empty\.pcap: holds no packet"):
        read(write(tmp_path / "empty.pcap", []))
    with pytest.raises(TraceError, match=r"packet 2: time 1\.0 is before the 2\.0"):
        read(write(tmp_path / "back.pcap", [(2.0, ipv4(A, B)), (1.0, ipv4(A, B))]))
    with pytest.raises(TraceError, match="link type 105; it must be Ethernet"):
        read(write(tmp_path / "wifi.pcap", [(1.0, bytes(60))], link=105))
    whole = write(tmp_path / "cut.pcap", [(1.0, ipv4(A, B)), (2.0, ipv4(A, B))])
    whole.write_bytes(whole.read_bytes()[: -len(ipv4(A, B)) - 5])
    with pytest.raises(TraceError, match=r"cut\.pcap: no pcap or pcapng file, or cut off"):
        read(whole)
    with pytest.raises(ConfigError, match="idle_s is 0"):
        Capture(whole, idle_s=0)
    with pytest.raises(ConfigError, match="closing_s is 'soon'"):
        Capture(whole, closing_s="soon")
