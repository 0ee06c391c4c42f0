#!/usr/bin/env python3
"""The two ends of the sample capture: `sample_traffic.py serve` and `sample_traffic.py client`.

Python's standard library only. The flows and their sizes are those that
localack-pcap/sample/README.md lists; take-sample.sh sets up the addresses.
"""

import socket
import struct
import sys
import threading

SERVER = "198.51.100.20"
SERVER_ECN = "198.51.100.21"  # the client's route to it asks for ECN
SERVER_V6 = "2001:db8:2::20"
UPLOAD, DOWNLOAD, QUERY, MULTIPATH = 8001, 8002, 8003, 8004
NOBODY = 8009
MPTCP = 262  # IPPROTO_MPTCP

UPLOAD_OCTETS = 256_000
DOWNLOAD_OCTETS = 60_000
SHORT_OCTETS = 24_000
PATIENCE = 60  # seconds until any wait for the other end is an error


def text(octets):
    """Readable payload in which every line says at which octet of the stream it stands."""
    lines = (f"octet {at:08d} of a localack sample stream, nothing to see.\n"
             for at in range(0, octets, 64))
    stream = "".join(line.rjust(64, ".") for line in lines).encode()
    return stream[:octets]


def read_all(conn):
    return b"".join(iter(lambda: conn.recv(65536), b""))


def tcp_socket(family, protocol):
    sock = socket.socket(family, socket.SOCK_STREAM, protocol)
    # Linux's own default, whatever this machine prefers.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"cubic")
    return sock


def take_upload(conn):
    conn.sendall(f"received {len(read_all(conn))}\n".encode())


def give_download(conn):
    octets = int(conn.recv(64))
    conn.sendall(text(octets))


def answer(conn):
    while question := conn.recv(1024):
        conn.sendall(b"answer to " + question)


def serve():
    services = [
        (socket.AF_INET, SERVER, UPLOAD, 0, take_upload),
        (socket.AF_INET, SERVER_ECN, UPLOAD, 0, take_upload),
        (socket.AF_INET, SERVER, DOWNLOAD, 0, give_download),
        (socket.AF_INET6, SERVER_V6, QUERY, 0, answer),
        (socket.AF_INET, SERVER, MULTIPATH, MPTCP, take_upload),
    ]
    for family, address, port, protocol, service in services:
        listener = tcp_socket(family, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen()
        threading.Thread(target=accept, args=(listener, service)).start()
    print("listening", flush=True)


def accept(listener, service):
    while True:
        conn, _ = listener.accept()
        with conn:
            conn.settimeout(PATIENCE)
            try:
                service(conn)
            except ConnectionResetError:
                pass  # one of the flows ends this way on purpose


def dial(address, port, family=socket.AF_INET, protocol=0):
    conn = tcp_socket(family, protocol)
    conn.settimeout(PATIENCE)
    conn.connect((address, port))
    return conn


def upload(octets, address=SERVER, port=UPLOAD, protocol=0):
    with dial(address, port, protocol=protocol) as conn:
        conn.sendall(text(octets))
        conn.shutdown(socket.SHUT_WR)
        reply = read_all(conn)
    assert reply == f"received {octets}\n".encode(), reply


def download(octets):
    with dial(SERVER, DOWNLOAD) as conn:
        conn.sendall(f"{octets}\n".encode())
        assert read_all(conn) == text(octets)


def query():
    with dial(SERVER_V6, QUERY, family=socket.AF_INET6) as conn:
        for question in (b"one", b"two"):
            conn.sendall(question)
            assert conn.recv(1024) == b"answer to " + question


def refused():
    try:
        dial(SERVER, NOBODY)
    except ConnectionRefusedError:
        return
    raise AssertionError("somebody listens where nobody should")


def aborted():
    """An upload whose client gives up in the middle: data is under way when the RST leaves."""
    conn = dial(SERVER, UPLOAD)
    conn.sendall(text(SHORT_OCTETS // 2))
    conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    conn.close()


def client():
    upload(UPLOAD_OCTETS)
    download(DOWNLOAD_OCTETS)
    query()
    refused()
    upload(SHORT_OCTETS, address=SERVER_ECN)
    upload(SHORT_OCTETS, port=MULTIPATH, protocol=MPTCP)
    aborted()


if __name__ == "__main__":
    {"serve": serve, "client": client}[sys.argv[1]]()
