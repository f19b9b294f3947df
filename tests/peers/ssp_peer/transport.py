"""HTTP and HTTPS in both directions.

The HTTP answer only says that a document was taken (SSP reference §1). `Listener` gives each body to a callback which
says what to answer, including nothing at all: the observed peer ends the connection without a response (§1.2). A plain
listener that sees a TLS ClientHello notes it and closes (§2). `post` never follows up on its own; retrying is the node's business.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Callable
from urllib.parse import urlsplit

from .wire import CONTENT_TYPE

CLOSE = 0  # in place of an HTTP status: end the connection without a response
TIMEOUT = 10.0


@dataclass
class Tls:
    """Key material for mutual TLS."""

    cert: str
    key: str
    ca: str

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        context.load_verify_locations(self.ca)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def client(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        context.load_cert_chain(self.cert, self.key)
        return context


@dataclass
class Inbound:
    """One POST as it came."""

    body: bytes
    headers: dict[str, str]
    source: str
    scheme: str
    path: str = "/"
    client_names: list[str] = field(default_factory=list)


@dataclass
class Reply:
    """The HTTP status to give (or CLOSE), response headers, and what to do once it is flushed."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    after: Callable[[], None] | None = None


class Listener:
    """A threaded server on one port; plain HTTP, or mutual TLS when `tls` is given."""

    def __init__(self, port: int, receive: Callable[[Inbound], Reply], tls: Tls | None, on_probe: Callable[[str], None]) -> None:
        self._context = context = tls.server() if tls else None
        self._connections = connections = set()
        self._changing = changing = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 60.0

            def do_POST(self) -> None:
                self._serve()

            def _serve(self) -> None:
                length = self.headers.get("Content-Length")
                if length is None and "chunked" in (self.headers.get("Transfer-Encoding") or "").lower():
                    body = _chunked(self.rfile)
                else:
                    body = self.rfile.read(int(length or 0))
                reply = receive(Inbound(body, dict(self.headers.items()), self.client_address[0],
                                        "https" if context else "http", self.path, _names(self.connection)))
                if reply.status == CLOSE:
                    self.close_connection = True
                else:
                    self.send_response(reply.status)
                    for key, value in {"Content-Length": "0", **reply.headers}.items():
                        self.send_header(key, value)
                    self.end_headers()
                    self.wfile.flush()
                if reply.after:
                    reply.after()

            def log_message(self, *_) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 64

            def finish_request(self, request, client_address) -> None:
                request.settimeout(TIMEOUT)
                with changing:
                    connections.add(request)
                try:
                    if context is None:
                        if request.recv(1, socket.MSG_PEEK) == b"\x16":
                            on_probe("tls-on-plain-port")
                            return
                        Handler(request, client_address, self)
                    else:
                        with context.wrap_socket(request, server_side=True) as secured:
                            with changing:
                                connections.add(secured)  # it has taken the socket over
                            try:
                                Handler(secured, client_address, self)
                            finally:
                                with changing:
                                    connections.discard(secured)
                except ssl.SSLError as error:
                    on_probe(f"tls-failed: {error.reason}")
                except OSError:
                    pass
                finally:
                    with changing:
                        connections.discard(request)

            def handle_error(self, request, client_address) -> None:
                on_probe("handler-error")

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def trust(self, ca: str) -> None:
        """Takes the certificates of one authority more."""
        if self._context:
            self._context.load_verify_locations(ca)

    def close(self) -> None:
        """Stops listening and breaks the connections that are kept, as the end of the process would."""
        self._server.shutdown()
        self._server.server_close()
        with self._changing:
            for connection in list(self._connections):
                try:
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
                except OSError:
                    pass
        self._thread.join(TIMEOUT)


def post(url: str, body: bytes, headers: dict[str, str] | None = None, tls: Tls | None = None,
         server_name: str | None = None, timeout: float = TIMEOUT, content_type: str = CONTENT_TYPE, address: str | None = None) -> int:
    """POSTs one document; the HTTP status, or CLOSE when the connection failed or ended without a response.

    Over TLS the server has to prove `server_name` (the service domain), which is also the SNI. `address` is that of the URL's host
    where DNS was asked; `Host` is the URL's then.
    """
    return exchange(url, body, headers, tls, server_name, timeout, content_type, address)[0]


def exchange(url: str, body: bytes, headers: dict[str, str] | None = None, tls: Tls | None = None,
             server_name: str | None = None, timeout: float = TIMEOUT, content_type: str = CONTENT_TYPE,
             address: str | None = None) -> tuple[int, bytes]:
    """As `post`, with the body of the response too."""
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or (443 if parts.scheme == "https" else 80)
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.sock = socket.create_connection((address or host, port), timeout)
        if parts.scheme == "https":
            context = tls.client() if tls else ssl.create_default_context()
            connection.sock = context.wrap_socket(connection.sock, server_hostname=server_name or host)
        connection.request("POST", parts.path or "/", body, {
            **({"Host": f"ssp.{server_name}:{port}"} if server_name and not address else {}),  # as the SRV record of the domain names it
            "Content-Type": content_type, "User-Agent": "ssp-peer", "Connection": "keep-alive", **(headers or {})})
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException, ValueError):
        return CLOSE, b""
    finally:
        connection.close()


def candidates(url: str, https_first: bool) -> list[str]:
    """The URLs to try for a target: with `https_first`, TLS and then plain on the same port (§2)."""
    parts = urlsplit(url)
    if not https_first:
        return [url]
    return [f"{scheme}://{parts.netloc}{parts.path or '/'}" for scheme in ("https", "http")]


def certificates(folder: str, domains: dict[str, list[str]]) -> dict[str, Tls] | None:
    """Makes a CA and one certificate a domain, with the names given for it, by the `openssl` program; None when there is none."""
    import shutil
    import subprocess

    if not shutil.which("openssl"):
        return None

    def run(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=SSP peer test CA",
        "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    made = {}
    for domain, names in domains.items():
        with open(os.path.join(folder, f"{domain}.ext"), "w", encoding="ascii") as extensions:
            extensions.write(f"subjectAltName={','.join('DNS:' + name for name in names)}\nextendedKeyUsage=serverAuth,clientAuth\n")
        run("req", *key, "-keyout", f"{domain}.key", "-out", f"{domain}.csr", "-subj", f"/CN={domain}")
        run("x509", "-req", "-in", f"{domain}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{domain}.pem", "-days", "2", "-extfile", f"{domain}.ext")
        made[domain] = Tls(*(os.path.join(folder, n) for n in (f"{domain}.pem", f"{domain}.key", "ca.pem")))
    return made


def _names(connection) -> list[str]:
    if not isinstance(connection, ssl.SSLSocket):
        return []
    return [value for _, value in (connection.getpeercert() or {}).get("subjectAltName", ())]


def _chunked(stream) -> bytes:
    body = b""
    while size := int(stream.readline().split(b";")[0] or b"0", 16):
        body += stream.read(size)
        stream.readline()
    while stream.readline().strip():
        pass
    return body
