#!/usr/bin/env bash
# sseclient-py 1.9.0: an event that the end of the stream cut off is given out, with its id and half of its data.
#
# Such an event is to be thrown away (WHATWG HTML, 9.2.6), so that the reader gets it whole when it reconnects. A server or a proxy
# that ends a response in time ends it anywhere. A reader that reconnects with the last id that it got misses the whole event.
# httpx-sse 0.4.3 throws it away.
#
# Seen:
#   httpx-sse: [('1', 'ten thousand')]
#   sseclient-py: [('1', 'ten thousand'), ('2', 'twenty')]
#
# Needs python3 with venv.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv python
python/bin/pip install --quiet --disable-pip-version-check sseclient-py==1.9.0 httpx-sse==0.4.3 httpx==0.28.1
cat >try.py <<'PYTHON'
import http.server, threading

import httpx
import httpx_sse
import sseclient

STREAM = b"id: 1\ndata: ten thousand\n\nid: 2\ndata: twenty thousand\n\n"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        piece = STREAM[: STREAM.rindex(b" thousand")]
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        # The response is whole; the stream was not at the end of an event.
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(piece), piece))

    def log_message(self, *arguments):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/"
with httpx.Client() as client:
    with httpx_sse.connect_sse(client, "GET", url) as source:
        print("httpx-sse:", [(event.id, event.data) for event in source.iter_sse()])
    with client.stream("GET", url) as response:
        print("sseclient-py:", [(event.id, event.data) for event in sseclient.SSEClient(response.iter_bytes()).events()])
PYTHON
timeout 30 python/bin/python try.py >seen
diff seen - <<'SEEN'
httpx-sse: [('1', 'ten thousand')]
sseclient-py: [('1', 'ten thousand'), ('2', 'twenty')]
SEEN
echo "still so"
