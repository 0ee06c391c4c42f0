"""The verdict of proof 2: what Dom0 has said, and what the captures on both sides of its bridge show.

    python3 verdict.py SERIAL FOLDER

FOLDER has NAME.vifN.0.pcap, the guest's side, and NAME.wan.pcap, that of the link, of the same transfers by the same
clock.
"""

import pathlib
import re
import statistics
import struct
import sys

GUEST = bytes([10, 0, 0, 3])
CLAIMS = {
    1: "the guest is acknowledged in Dom0",
    2: "what arrives is what was sent",
    3: "sooner than without",
    4: "services come and go; the guest notices nothing",
    5: "drained and unloaded under way",
}
FIN, SYN, RST, ACK = 1, 2, 4, 16
HALF = 1 << 31


class Segment:
    """One captured TCP segment over IPv4 over Ethernet."""

    def __init__(self, at, frame):
        ip = frame[14:]
        header = (ip[0] & 15) * 4
        total = struct.unpack_from("!H", ip, 2)[0]
        source, destination = struct.unpack_from("!HH", ip, header)
        self.at = at
        self.seq, self.ack = struct.unpack_from("!II", ip, header + 4)
        self.flags = ip[header + 13]
        self.from_guest = ip[12:16] == GUEST
        self.port = source if self.from_guest else destination
        self.octets = total - header - (ip[header + 12] >> 4) * 4


def read_capture(path):
    """The TCP segments of a capture in the classic format, with times in microseconds."""
    data = path.read_bytes()
    magic = struct.unpack_from("<I", data)[0]
    if magic not in (0xA1B2C3D4, 0xA1B23C4D):
        raise ValueError(f"{path}: not a capture")
    unit = 1 if magic == 0xA1B2C3D4 else 1000
    at = 24
    while at + 16 <= len(data):
        seconds, fraction, length, _ = struct.unpack_from("<IIII", data, at)
        frame = data[at + 16 : at + 16 + length]
        at += 16 + length
        if len(frame) >= 54 and frame[12:14] == b"\x08\x00" and frame[23] == 6:
            yield Segment(seconds * 1_000_000 + fraction // unit, frame)


class Transfer:
    """One connection of the guest's, as the two captures show it. Numbers count from the guest's first octet."""

    def __init__(self):
        self.first = None
        self.sent = []  # when an octet of the guest's has come, and which is the next
        self.told = []  # what it was told of
        self.real = []  # what the peer has told
        self.resets = 0

    def see(self, segment, is_inner):
        if segment.from_guest and segment.flags & SYN:
            self.first = (segment.seq + 1) % (1 << 32)
        if segment.flags & RST:
            self.resets += 1
        if self.first is None:
            return
        count = lambda number: (number - self.first + HALF) % (1 << 32) - HALF
        if segment.from_guest and is_inner and not segment.flags & SYN:
            self.sent.append((segment.at, count(segment.seq) + segment.octets + (segment.flags & FIN)))
        elif not segment.from_guest and segment.flags & ACK:
            (self.told if is_inner else self.real).append((segment.at, count(segment.ack)))

    def compare(self):
        """For each acknowledgement that told the guest something new: its octets, and by how much it left before the
        peer's own came, in microseconds."""
        reached = 0
        for at, ack in self.told:
            if ack <= reached:
                continue
            real = min((when for when, number in self.real if number >= ack), default=None)
            yield ack - reached, None if real is None else real - at
            reached = ack

    def unseen(self):
        """How many acknowledgements named an octet that had not come from the guest."""
        return sum(ack > max((end for when, end in self.sent if when <= at), default=0) for at, ack in self.told)


def read_transfers(folder, name):
    transfers = {}
    inner = next(folder.glob(f"{name}.vif*.pcap"), folder / f"{name}.vif.pcap")
    # The guest's side first: there is each connection's beginning.
    for path, is_inner in ((inner, True), (folder / f"{name}.wan.pcap", False)):
        for segment in read_capture(path):
            transfers.setdefault(segment.port, Transfer()).see(segment, is_inner)
    return list(transfers.values())


def judge(folder):
    """Checks of the captures, as (number, whether it held, text)."""
    for name, number, served in (("without", 1, False), ("with", 1, True), ("after", 1, False)):
        (transfer,) = read_transfers(folder, name)
        news = list(transfer.compare())
        octets = sum(count for count, _ in news)
        early = [(count, lead) for count, lead in news if lead is None or lead > 0]
        share = sum(count for count, _ in early) * 100 // max(octets, 1)
        leads = [lead for _, lead in early if lead is not None]
        text = f"captures, {name}: {len(early)} of {len(news)} acknowledgements, of {share} % of {octets} octets, left to the guest before the peer's came"
        if leads:
            text += f", {statistics.median(leads) / 1000:.0f} ms before in the median"
        yield number, (share >= 90 and len(leads) == len(early)) if served else not early and octets > 0, text
        unseen = transfer.unseen()
        yield number, unseen == 0, f"captures, {name}: {unseen} acknowledgements of octets that had not come"
    for name, number in (("services", 4), ("drained", 5)):
        transfers = read_transfers(folder, name)
        resets = sum(transfer.resets for transfer in transfers)
        unseen = sum(transfer.unseen() for transfer in transfers)
        yield number, len(transfers) == 1 and resets == 0 and unseen == 0, (
            f"captures, {name}: {len(transfers)} connection, {resets} resets, {unseen} acknowledgements of octets that had not come"
        )


def main():
    serial = pathlib.Path(sys.argv[1]).read_text(errors="replace")
    checks = [
        (int(number), result == "ok", text)
        for number, result, text in re.findall(r"^proof: check (\d) (ok|FAILED) (.*)$", serial, re.MULTILINE)
    ]
    try:
        checks += judge(pathlib.Path(sys.argv[2]))
    except (OSError, ValueError, IndexError, struct.error) as error:
        checks.append((1, False, f"captures: {error!r}"))
    ended = re.search(r"^VERDICT ok$", serial, re.MULTILINE) is not None
    others = re.findall(r"^proof: FAILED (.*)$", serial, re.MULTILINE)
    all_held = ended and not others
    print("| | what was to be seen | |\n|---:|---|---|")
    for number, claim in CLAIMS.items():
        its = [check for check in checks if check[0] == number]
        held = bool(its) and all(check[1] for check in its)
        all_held = all_held and held
        print(f"| {number} | **{claim}** | **{'ok' if held else 'FAILED'}** |")
        for _, ok, text in its:
            print(f"| | {text} | {'ok' if ok else 'FAILED'} |")
    for other in others:
        print(f"| | {other} | FAILED |")
    if not ended:
        print("| | Dom0 came to its end and had nothing to complain of | FAILED |")
    print("proof 2: ok" if all_held else "proof 2: FAILED")
    sys.exit(not all_held)


if __name__ == "__main__":
    main()
