"""Who may be called from here, and how. Nothing leaves loopback."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from almagest.core.errors import BadRequestError
from almagest.core.groups import Work
from almagest.core.settings import Settings
from almagest.pipelines.outbound import Outbound, RefusedError, UndeliveredError
from support.receivers import receiver

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
ALL_PORTS = tuple(range(1, 65536))
ANYWHERE = Outbound()
#: Somebody's: it is only looked at, and never called.
PUBLIC = "93.184.215.14"

PRIVATE = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254"),
    *("169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1"),
    *("192.168.1.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1"),
    *("255.255.255.255", "168.63.129.16"),
    *("::", "::1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "100::1", "5f00::1"),
    # An IPv4 address within: mapped, compatible, translated, NAT64 (both prefixes), 6to4, Teredo, ISATAP.
    *(
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "::127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
    ),
    *("64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
    *("2a00:1450::5efe:7f00:1", "2a00:1450::200:5efe:7f00:1"),
    # Even where it is a public one: whoever means it can say so plainly.
    *(f"::ffff:{PUBLIC}", "2002:5db8:d70e::1"),
    *("2001:db8::1", "2001:10::1", "2001:20::1", "3fff::1", "2620:4f:8000::1"),
]


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_public_is_refused_as_it_stands_and_as_what_a_name_means(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(BadRequestError, match="no address of the public Internet"):
        Outbound().target(f"https://{host}/")
    with pytest.raises(RefusedError):
        Outbound(resolve=lambda *_: [address]).post("http://innocent.example/", b"", {})


@pytest.mark.parametrize(
    "host",
    [
        *("2130706433", "0x7f000001", "0X7F.0.0.1", "017700000001", "0177.0.0.1", "127.1", "127.0.1", "0", "0x"),
        *("2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "127.0.0.1.", "127.0.0.01", "256.1.1.1"),
        *("[::ffff:127.0.0.1]", "[::1%25lo]", "[fe80::1%25eth0]", "[127.0.0.1]", "[::1", "::1"),
        *("%31%32%37.0.0.1", "１２７.0.0.1", "127。0。0。1", "①", "localhost%00.example", "a b", "ex_ample..org"),
        *(
            "",
            ".",
            "-",
            "user@127.0.0.1",
            "example.org@127.0.0.1",
            "user:secret@example.org",
            "example.org\\@127.0.0.1",
        ),
    ],
)
def test_no_spelling_of_an_address_gets_through(host: str) -> None:
    with pytest.raises(BadRequestError):
        Outbound().target(f"http://{host}/")


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://example.org/", "file:///etc/passwd", "gopher://example.org/", "//example.org/", "example.org", ""),
        *("http://example.org:22/", "http://example.org:0/", "http://example.org:99999/", "http://example.org:x/"),
        *("http://example.org/#part", "http://example.org/a b", "http://example.org/\r\nX-Injected: 1", "http://\n"),
        f"http://example.org/{'x' * 2000}",
    ],
)
def test_what_is_no_address_for_a_callback_is_refused(url: str) -> None:
    with pytest.raises(BadRequestError):
        Outbound().target(url)


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("https://example.org", ("https", "example.org", 443, "/")),
        ("http://EXAMPLE.org.:80/a?b=c", ("http", "example.org", 80, "/a?b=c")),
        (f"http://{PUBLIC}/", ("http", PUBLIC, 80, "/")),
        ("https://[2a00:1450:4001:82a::200e]/x", ("https", "2a00:1450:4001:82a::200e", 443, "/x")),
        ("https://xn--bcher-kva.example/", ("https", "xn--bcher-kva.example", 443, "/")),
    ],
)
def test_public_addresses_are_taken(url: str, server: tuple[str, str, int, str]) -> None:
    found = Outbound().target(url)
    assert (found.scheme, found.host, found.port, found.path) == server


@given(st.text())
def test_whatever_is_written_is_taken_or_refused(text: str) -> None:
    for url in (text, f"http://{text}", f"http://[{text}]/", f"https://example.org{text}"):
        try:
            found = ANYWHERE.target(url)
        except BadRequestError:
            continue
        assert found.port in {80, 443}
        assert found.host.isascii()


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_nothing_is_permitted_that_python_calls_special(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if ANYWHERE.permits(address):
        assert address.is_global
        assert not any((address.is_multicast, address.is_reserved, address.is_loopback, address.is_link_local))
        if isinstance(address, ipaddress.IPv6Address):
            assert (address.ipv4_mapped, address.sixtofour, address.teredo) == (None, None, None)


def test_networks_and_ports_are_opened_by_settings() -> None:
    own = Outbound.of(Settings(work=Work(callback_networks="10.1.0.0/16,fd00::/8", callback_ports="8443,443")))
    assert own.target("http://10.1.2.3:8443/").port == 8443
    assert own.target("https://[fd00::1]/").port == 443
    for url in ("https://10.2.0.1/", "https://[::ffff:10.1.2.3]/", "http://example.org/"):
        with pytest.raises(BadRequestError):
            own.target(url)


def test_a_name_is_resolved_once_and_what_was_looked_at_is_called() -> None:
    """Whoever answers with a public address first and a private one then gets nothing by it."""
    asked: list[str] = []

    def rebinding(host: str, _: int) -> Iterable[str]:
        asked.append(host)
        return ["127.0.0.2"] if len(asked) == 1 else ["127.0.0.1"]

    public_enough = (ipaddress.ip_network("127.0.0.2/32"),)
    with receiver() as private:
        outbound = Outbound(public_enough, ALL_PORTS, resolve=rebinding)
        with pytest.raises(UndeliveredError, match=r"^127\.0\.0\.2 does not answer"):
            outbound.post(private.url(host="rebinding.example"), b"x", {})
        assert asked == ["rebinding.example"]
        with pytest.raises(RefusedError):
            outbound.post(private.url(host="rebinding.example"), b"x", {})
        assert private.heard == []


def test_of_several_addresses_only_permitted_ones_are_called() -> None:
    with receiver() as found:
        outbound = Outbound(LOOPBACK, ALL_PORTS, resolve=lambda *_: ["10.0.0.1", "::1", "127.0.0.1"])
        assert outbound.post(found.url("/a?b=c", "somebody.example"), b"{}", {"X-Test": "1"}) == 204
        ((path, headers, body),) = found.heard
    assert (path, body, headers["x-test"]) == ("/a?b=c", b"{}", "1")
    assert headers["host"] == f"somebody.example:{found.port}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    with receiver() as private, receiver() as public:
        public.answers = [(status, {"Location": private.url()})]
        with pytest.raises(UndeliveredError, match="redirects are not followed"):
            Outbound(LOOPBACK, ALL_PORTS).post(public.url(), b"x", {})
        assert (len(public.heard), private.heard) == (1, [])


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver() as proxy, receiver() as found:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url("/"))
        Outbound(LOOPBACK, ALL_PORTS).post(found.url(), b"x", {})
        assert (len(found.heard), proxy.heard) == (1, [])


@pytest.mark.parametrize("drip", [b"", b"H", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_who_answers_drop_by_drop_is_given_up(drip: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        over = threading.Event()

        def answer() -> None:
            line, _ = server.accept()
            with line:
                while not over.wait(0.05):
                    try:
                        line.sendall(drip)
                    except OSError:
                        return

        thread = threading.Thread(target=answer)
        thread.start()
        began = time.monotonic()
        with pytest.raises(UndeliveredError, match="longer than"):
            Outbound(LOOPBACK, ALL_PORTS, patience_s=0.5).post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"x", {})
        assert time.monotonic() - began < 3
        over.set()
        thread.join()


def test_of_a_large_answer_little_is_read() -> None:
    sent = 0
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            nonlocal sent
            line, _ = server.accept()
            with line:
                line.recv(1000)
                line.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                try:
                    while sent < 1 << 28:
                        sent += line.send(bytes(1 << 16))
                except OSError:
                    return

        thread = threading.Thread(target=answer)
        thread.start()
        assert Outbound(LOOPBACK, ALL_PORTS).post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"x", {}) == 200
        thread.join(10)
        assert sent < 1 << 26


def certificate(folder: Path, host: str) -> tuple[Path, Path]:
    key, cert = folder / "key.pem", folder / "cert.pem"
    subject = ["-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
    ]
    subprocess.run([*command, "-keyout", key, "-out", cert, *subject], check=True, capture_output=True)
    return cert, key


def test_tls_is_checked_against_the_name_and_not_the_address(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "somebody.example")
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(cert, key)

    def wrap(server: object) -> None:
        server.socket = serving.wrap_socket(server.socket, server_side=True)  # type: ignore[attr-defined]

    trust = ssl.create_default_context(cafile=str(cert))
    with receiver(wrap) as found:
        outbound = Outbound(LOOPBACK, ALL_PORTS, resolve=lambda *_: ["127.0.0.1"], trust=trust)
        assert outbound.post(f"https://somebody.example:{found.port}/", b"x", {}) == 204
        with pytest.raises(UndeliveredError, match="Hostname mismatch"):
            outbound.post(f"https://another.example:{found.port}/", b"x", {})
        with pytest.raises(UndeliveredError, match="self-signed"):
            Outbound(LOOPBACK, ALL_PORTS, resolve=lambda *_: ["127.0.0.1"]).post(
                f"https://somebody.example:{found.port}/", b"x", {}
            )
        assert len(found.heard) == 1
