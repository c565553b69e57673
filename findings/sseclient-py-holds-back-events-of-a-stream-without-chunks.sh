#!/usr/bin/env bash
# sseclient-py 1.9.0 with urllib3 2.8.0 or requests 2.34.2, as its README shows: events of a stream that isn't chunked come late.
#
# Without `Transfer-Encoding: chunked` a response goes on until its connection ends, as HTTP/1.0 servers and some proxies do it.
# Iterating over urllib3's response then waits for 64 KiB or the end, and over that of requests for 128 bytes. So a reader
# gets nothing for hours, and then everything at once. httpx, the README's third way, gives each event out as it comes.
#
# Seen, of a small event that is sent while the stream stays open:
#   urllib3: came while the stream was open: chunked True, not chunked False
#   requests: came while the stream was open: chunked True, not chunked False
#   httpx: came while the stream was open: chunked True, not chunked True
#
# Needs python3 with venv.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check sseclient-py==1.9.0 urllib3==2.8.0 requests==2.34.2 httpx==0.28.1
cat >try.py <<'PYTHON'
import http.server, threading

import httpx
import requests
import sseclient
import urllib3

EVENT = b"data: a\n\n"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        chunked = self.path == "/chunked"
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header(*("Transfer-Encoding", "chunked") if chunked else ("Connection", "close"))
        self.end_headers()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(EVENT), EVENT) if chunked else EVENT)
        self.server.was_open = got.wait(2)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True

    def log_message(self, *arguments):
        pass


def with_urllib3(url):
    response = urllib3.PoolManager().request("GET", url, preload_content=False)
    yield from sseclient.SSEClient(response).events()


def with_requests(url):
    yield from sseclient.SSEClient(requests.get(url, stream=True)).events()


def with_httpx(url):
    with httpx.stream("GET", url) as response:
        yield from sseclient.SSEClient(response.iter_bytes()).events()


got = threading.Event()
for name, way in [("urllib3", with_urllib3), ("requests", with_requests), ("httpx", with_httpx)]:
    found = []
    for path in ["/chunked", "/"]:
        got.clear()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = False
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for event in way(f"http://127.0.0.1:{server.server_port}{path}"):
            assert event.data == "a"
            got.set()
        server.shutdown()
        # Waits for the handler.
        server.server_close()
        found.append(server.was_open)
    print(f"{name}: came while the stream was open: chunked {found[0]}, not chunked {found[1]}")
PYTHON
timeout 60 python/bin/python try.py >seen
diff seen - <<'SEEN'
urllib3: came while the stream was open: chunked True, not chunked False
requests: came while the stream was open: chunked True, not chunked False
httpx: came while the stream was open: chunked True, not chunked True
SEEN
echo "still so"
