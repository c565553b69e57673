"""Prints what httpx-sse receives from the address in its argument; reconnects as its README says."""
import json, sys, time

import httpx
from httpx_sse import connect_sse

last_event_id, delay = "", 1.0
with httpx.Client(timeout=None) as client:
    while True:
        headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
        try:
            with connect_sse(client, "GET", sys.argv[1], headers=headers) as source:
                for event in source.iter_sse():
                    last_event_id = event.id
                    if event.retry is not None:
                        delay = event.retry / 1000
                    if event.event == "draw":
                        print("draw", event.id, json.loads(event.data)["round"], flush=True)
                    elif event.data:
                        print(event.event, flush=True)
        except httpx.TransportError:
            pass
        time.sleep(delay)
