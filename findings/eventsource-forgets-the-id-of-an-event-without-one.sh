#!/usr/bin/env bash
# eventsource 4.1.1 (npm): the lastEventId of an event without an id is empty, although the stream gave one before.
#
# The id stays what it was until the stream sets another (WHATWG HTML, 9.2.6), so such an event has that of the event before.
# The client knows it, and sends it when it reconnects. But a program that stores `event.lastEventId` with what it has done, to
# continue after its own restart, stores that it has seen nothing.
#
# Seen:
#   a: lastEventId "1"
#   b: lastEventId ""
#   reconnects with Last-Event-ID "1"
#
# Needs Node.js 20 or later, with npm.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --ignore-scripts eventsource@4.1.1 eventsource-parser@3.1.1
cat >try.mjs <<'JAVASCRIPT'
import { createServer } from 'node:http'
import { EventSource } from 'eventsource'

let connections = 0
const server = createServer((request, response) => {
  if (++connections === 2) {
    console.log(`reconnects with Last-Event-ID "${request.headers['last-event-id'] ?? ''}"`)
    process.exit()
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.end('retry: 10\nid: 1\ndata: a\n\ndata: b\n\n')
})
server.listen(0, '127.0.0.1', () => {
  const source = new EventSource(`http://127.0.0.1:${server.address().port}/`)
  source.onmessage = event => console.log(`${event.data}: lastEventId "${event.lastEventId}"`)
})
JAVASCRIPT
timeout 30 node try.mjs >seen
diff seen - <<'SEEN'
a: lastEventId "1"
b: lastEventId ""
reconnects with Last-Event-ID "1"
SEEN
echo "still so"
